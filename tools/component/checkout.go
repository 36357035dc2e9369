package component

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/flavor"
	"github.com/TritonDataCenter/engbld/tools/makefile"
)

const maxJenkinsfile = 1 << 20

// checkout is one component.
type checkout struct {
	top, rel string // the repository, and the component's directory in it
	tree     *makefile.Tree
	jenkins  string // name of the Jenkinsfile, "" if none
	pipeline string // its text
}

// open reads the component in dir.
func open(dir string) (*checkout, error) {
	c := &checkout{}
	c.top, c.rel = makefile.Locate(dir)
	var err error
	if c.tree, err = makefile.Open(dir, ""); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(c.top)
	if err != nil {
		return nil, fault.Usage.Errorf("looking into %s: %w", c.top, err)
	}
	defer root.Close()
	for _, name := range []string{path.Join(c.rel, "Jenkinsfile"), "Jenkinsfile"} {
		f, err := root.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fault.Usage.Errorf("reading %s: %w", name, err)
		}
		data, err := io.ReadAll(io.LimitReader(f, maxJenkinsfile+1))
		f.Close()
		if err == nil && len(data) > maxJenkinsfile {
			err = fmt.Errorf("larger than %d bytes", maxJenkinsfile)
		}
		if err != nil {
			return nil, fault.Usage.Errorf("reading %s: %w", name, err)
		}
		c.jenkins, c.pipeline = name, string(data)
		break
	}
	return c, nil
}

// name is what the component calls itself, else its directory.
func (c *checkout) name(fallback string) string {
	if v, ok := c.tree.Value("NAME"); ok && v != "" && !strings.ContainsAny(v, " $") {
		return v
	}
	return fallback
}

var uuidRE = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// uuids returns the distinct uuids that variable is set to, in reading order, and
// whether something else than a uuid is among the values.
func (c *checkout) uuids(variable string) (list []string, other bool) {
	for _, s := range c.tree.Assigns(variable) {
		v, _ := c.tree.Expand(s.Value)
		switch v = strings.TrimSpace(v); {
		case v == "":
		case !uuidRE.MatchString(v):
			other = true
		case !slices.Contains(list, v):
			list = append(list, v)
		}
	}
	return list, other
}

// known finds what an image is.
func known(set *flavor.Set, uuid string) (flavor.Known, bool) {
	for _, k := range set.Known() {
		if k.UUID == uuid {
			return k, true
		}
	}
	return flavor.Known{}, false
}

// version is the origin version of an image: 21.4.0.
func version(k flavor.Known) string {
	if k.Origin {
		return k.Flavor.Version()
	}
	return k.Version
}

// released returns the youngest released image of f.
func released(f *flavor.Flavor) (flavor.Released, bool) {
	if n := len(f.Released); n > 0 {
		return f.Released[n-1], true
	}
	return flavor.Released{}, false
}

// newest returns the youngest flavor that has a released image.
func newest(set *flavor.Set) *flavor.Flavor {
	for _, f := range slices.Backward(set.Flavors) {
		if len(f.Released) > 0 {
			return f
		}
	}
	return nil
}

// claim is an image that a comment speaks of.
type claim struct {
	text    string
	origin  bool
	arch    string // "" if it names none
	version string
}

var claimRE = regexp.MustCompile(`\b(triton-origin|sdc-minimal-multiarch-lts|minimal-multiarch-lts|minimal-64-lts|minimal-64|sdc-smartos)(?:-(x86_64|multiarch|i386))?(?:[-@]| +)v?(\d{1,3}\.\d{1,3}\.\d{1,3})(?:@[A-Za-z0-9.-]+)?`)

// claims returns the images that the comments at an assignment speak of: on its
// line, and directly above.
func claims(f *makefile.File, s makefile.Stmt) []claim {
	var all []claim
	for _, text := range append(f.CommentAbove(s.Line), s.Comment) {
		for _, m := range claimRE.FindAllStringSubmatch(text, -1) {
			all = append(all, claim{m[0], m[1] == "triton-origin", m[2], m[3]})
		}
	}
	return all
}

// imageVerRE finds the origin version in a Jenkins label, in both of its forms:
// image_ver: '21.4.0' and image_ver:21.4.0.
var imageVerRE = regexp.MustCompile(`\bimage_ver\s*:\s*['"]?(\d{1,3}\.\d{1,3}\.\d{1,3})\b`)
