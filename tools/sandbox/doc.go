// Package sandbox holds stand-ins for the servers a build needs, and serves
// them on the loopback interface: base images (genuine send streams with
// made-up contents), package repositories (signed packages with made-up
// contents), a list of vulnerabilities. Sandbox mode and the tests use them.
//
// The servers are strict: they refuse what the real ones refuse (spec
// imgapi.md), and drop the connection where the real one would die. Faults
// makes them fail on demand. Nothing here is for production.
package sandbox
