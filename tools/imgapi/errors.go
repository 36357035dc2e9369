package imgapi

import "github.com/TritonDataCenter/engbld/tools/rest"

// Error is an answer of the server with an error status.
type Error = rest.Error
