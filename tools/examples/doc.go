// Package examples holds components as their authors write them, one a directory:
//
//	service		a service in node: prebuilt node, modules, SMF manifest, documentation
//	rust		a service in Rust
//	agent		an agent: a package, no image
//	with-agent	a component that takes that agent into its image
//	monorepo	two services in one repository, an image each
//	mage		a component with a magefile that uses this project's targets
//
// To start from one, copy it and put this project at its deps/eng:
//
//	git submodule add https://github.com/TritonDataCenter/engbld.git deps/eng
//
// The tests here build each of them as CI does, in the sandbox and on an origin
// image of their own, and look at what is in the images. What would come from the
// network (node, Rust) is made up by the tests.
package examples
