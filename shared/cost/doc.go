// Package cost reckons what a month of a store on AWS costs, and what the same work costs
// on DynamoDB.
//
// It multiplies three tables: prices.go has what AWS charges, calls.go what operations
// ask for (tests compare it with what they ask for indeed), and a Load says how much is
// done. Nobody's free tier is counted, nor traffic to the internet, which costs the same
// whatever the store.
package cost
