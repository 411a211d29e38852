// Package terraform applies the deployment of terraform/live/local, changes it under load, kills
// its processes and destroys it, all with the terraform of this machine, as an operator would.
//
// The load is what the clients of a control plane do: writes, compare-and-swaps and reads of
// known values, and a watch of everything. While nothing is killed, every error that a client sees is a
// failure; at all times each write that was acknowledged must be there, and the watch must tell
// each revision once, in order.
//
// It takes minutes and needs programs that are installed or built the first time, and so has the
// build tag e2e: make e2e-terraform.
package terraform
