// Command empty does nothing: the floor of what executing a Go binary costs.
package main

func main() {}
