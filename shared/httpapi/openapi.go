package httpapi

import _ "embed"

// openAPI describes every route, in OpenAPI 3.1. Tests hold it to the routes, to whole
// conversations, and to its own examples.
//
//go:embed openapi.yaml
var openAPI []byte

// yamlType is shared by every answer and never changed.
var yamlType = []string{"application/yaml"}

// showOpenAPI shows the description of the API.
func (a *API) showOpenAPI(x *exchange) error {
	x.out = append(x.out[:0], openAPI...)
	x.answerCompressed(yamlType)
	return nil
}
