// Package mantaserver is a stand-in for Manta, the object store: the part of
// its HTTP interface that uploads need (spec manta.md). Sandbox mode and tests
// serve it on the loopback interface; it is not for production.
//
// It refuses what the real one refuses:
//
//	no signature, a wrong one, an unknown key   401, 403
//	a clock 300 s off, a malformed header       400 InvalidHeader
//	plain http with a signature                 403 SecureTransportRequired, unless Options.PlainHTTP
//	another account's paths                     403 AuthorizationFailed
//	a parent that is missing, or no directory   404, 400
//	links                                       403 SnaplinksDisabledError
//	a length that is missing, a wrong MD5       411, 400 ContentMD5Mismatch
//	a presigned address used for another method 403 InvalidQueryStringAuthentication
//
// Objects below /ACCOUNT/public can be read without a signature. A failed
// upload leaves the old object. State lies in one directory, which several
// servers may share at once: each change is one rename.
//
// Left out: roles, multipart uploads, jobs, copies (a durability level is
// checked and remembered only), ETags that survive equal uploads.
package mantaserver
