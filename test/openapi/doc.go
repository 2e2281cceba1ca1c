// Package openapi holds requests and answers to the description that the API serves of
// itself, shared/httpapi/openapi.yaml. Whatever a test plays through Checked is compared
// with it: the route, the status, the headers, the query's parameters and both bodies.
package openapi
