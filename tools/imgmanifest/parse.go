package imgmanifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

const (
	// MaxSize bounds a manifest in bytes. The largest field by rule, tags, is
	// 100 KiB.
	MaxSize  = 1 << 20
	maxDepth = 64
)

// Parse reads one manifest: a JSON object and nothing after it. It checks the
// form only; Validate checks the meaning.
func Parse(data []byte) (*Manifest, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("image manifest: %d bytes, more than %d", len(data), MaxSize)
	}
	canon, err := canonical(data)
	if err != nil {
		return nil, fmt.Errorf("image manifest: %w", err)
	}
	if canon[0] != '{' {
		return nil, errors.New("image manifest: not a JSON object")
	}
	m := new(Manifest)
	dec := json.NewDecoder(bytes.NewReader(canon))
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("image manifest: %w", err)
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("image manifest: %w", err)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, fmt.Errorf("image manifest: %w", err)
		}
		m.fields = append(m.fields, field{name.(string), value})
	}
	return m, nil
}

// canonical rewrites one JSON value without blanks and with minimal escapes,
// keeping the order of names. It refuses what two readers could take for
// different things: duplicate names, invalid UTF-8, anything after the value.
func canonical(data []byte) (json.RawMessage, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	out, err := appendValue(nil, dec, maxDepth)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("something follows the value, at byte %d", dec.InputOffset())
	}
	return out, nil
}

func appendValue(out []byte, dec *json.Decoder, depth int) ([]byte, error) {
	if depth == 0 {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	tok, err := dec.Token()
	switch {
	case err == io.EOF:
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	}
	switch t := tok.(type) {
	case json.Delim:
		if t == '{' {
			return appendObject(out, dec, depth)
		}
		out = append(out, '[')
		for n := 0; dec.More(); n++ {
			if n > 0 {
				out = append(out, ',')
			}
			if out, err = appendValue(out, dec, depth-1); err != nil {
				return nil, err
			}
		}
		out = append(out, ']')
	case string:
		return appendString(out, t), nil
	case json.Number:
		return append(out, t...), nil
	case bool:
		return fmt.Appendf(out, "%t", t), nil
	default:
		return append(out, "null"...), nil
	}
	_, err = dec.Token() // the closing bracket
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return out, err
}

func appendObject(out []byte, dec *json.Decoder, depth int) ([]byte, error) {
	seen := make(map[string]bool)
	out = append(out, '{')
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, ok := tok.(string)
		if !ok {
			return nil, fmt.Errorf("name expected at byte %d", dec.InputOffset())
		}
		if seen[name] {
			return nil, fmt.Errorf("name %q twice in one object", name)
		}
		if len(seen) > 0 {
			out = append(out, ',')
		}
		seen[name] = true
		out = append(appendString(out, name), ':')
		if out, err = appendValue(out, dec, depth-1); err != nil {
			return nil, err
		}
	}
	_, err := dec.Token()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return append(out, '}'), err
}

// appendString quotes s, escaping only what JSON demands.
func appendString(out []byte, s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string can always be written
	return append(out, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}
