// Package images embeds the flavor files: <flavor>/flavor.toml for each origin
// image that can be built, and buildenv.toml for what belongs to pkgsrc releases
// and to other images. Package flavor reads and checks them.
package images

import "embed"

// FS holds the flavor files as they were when the program was built.
//
//go:embed buildenv.toml */flavor.toml
var FS embed.FS
