// Package hot is the Redis tier.
package hot

// Client is a connection to one Redis endpoint.
type Client struct{}
