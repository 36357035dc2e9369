// Package e2e holds the tests that use engbld as people do: through make, mage,
// the command and upstream's command line, in fresh clones, as an ordinary
// process that can be killed.
package e2e
