package app

import (
	"testing"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// TestEngine: the engine is what ENGBLD_ENGINE says and nothing else; no version
// of anything is compared (spec engbld-interface.md section 7, B9).
func TestEngine(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{"": "portable", "portable": "portable", "native": "native", "Native": "", "0.0.2": ""} {
		env := map[string]string{"ENGBLD_ENGINE": value, "ENGBLD_NATIVE_DATASET": "tank/a", "ENGBLD_NATIVE_STATE": "state"}
		a := &app{env: Env{Dir: "/dir", Getenv: func(name string) string { return env[name] }}}
		engine, err := a.engine()
		switch {
		case want == "" && (fault.KindOf(err) != fault.Usage || fault.Hint(err) == ""):
			t.Errorf("%q: %v", value, err)
		case want == "portable" && (engine != nil || err != nil):
			t.Errorf("%q: %v, %v", value, engine, err)
		case want == "native" && (err != nil || engine.Dataset != "tank/a" || engine.StateDir != "/dir/state"):
			t.Errorf("%q: %+v, %v", value, engine, err)
		}
	}
}
