package sandbox

import (
	"embed"
	"io/fs"
)

//go:embed data/pkgsrc data/vulns data/keys data/images/*/manifest.json data/images/*/file.zfs.gz
var embedded embed.FS

// Data returns the embedded stand-ins: pkgsrc/, vulns/, keys/ and
// images/UUID/{manifest.json,file.zfs.gz}, as data/README.md describes them.
func Data() fs.FS {
	sub, err := fs.Sub(embedded, "data")
	if err != nil {
		panic(err) // only for an invalid name
	}
	return sub
}
