package app

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/build"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imagefile"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/lock"
	"github.com/TritonDataCenter/engbld/tools/newfile"
	"github.com/TritonDataCenter/engbld/tools/sbom"
	"github.com/TritonDataCenter/engbld/tools/sshsign"
	"github.com/TritonDataCenter/engbld/tools/sums"
	"github.com/TritonDataCenter/engbld/tools/survey"
	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"
)

// Suffixes of what is written about an image beside it.
const (
	cycloneDXSuffix  = ".cdx.json"
	spdxSuffix       = ".spdx.json"
	provenanceSuffix = ".provenance.json"
)

// trustCommands are the verbs that tell where an image comes from.
func (a *app) trustCommands() []*cobra.Command {
	return []*cobra.Command{a.sbomCommand(), a.provenanceCommand(), a.sumsCommand()}
}

func (a *app) sbomCommand() *cobra.Command {
	var format string
	var beside bool
	cmd := a.surveyor("sbom IMAGE", "Write the bill of materials of an image",
		"  engbld image sbom --format spdx triton-origin-x86_64-24.4.1 > sbom.json\n  engbld image sbom --beside UUID", cobra.ExactArgs(1),
		func(ctx context.Context, s *subject, im *survey.Image, _ []string) error {
			forms := map[string]document{"cyclonedx": {cycloneDXSuffix, sbom.WriteCycloneDX}, "spdx": {spdxSuffix, sbom.WriteSPDX}}
			form, ok := forms[format]
			if !ok {
				return fault.Usage.Errorf("image sbom: --format %s: cyclonedx or spdx", format)
			}
			return a.document(ctx, s, im, beside, form)
		})
	cmd.Flags().StringVar(&format, "format", "cyclonedx", "cyclonedx (1.6) or spdx (2.3), both JSON")
	cmd.Flags().BoolVar(&beside, "beside", false, "write it beside the image's manifest, with the suffix "+cycloneDXSuffix+" or "+spdxSuffix)
	return cmd
}

func (a *app) provenanceCommand() *cobra.Command {
	var beside bool
	cmd := a.surveyor("provenance IMAGE", "State how an image was made, as an in-toto statement with SLSA provenance",
		"  engbld image provenance bits/NAME/NAME-zfs-STAMP.imgmanifest", cobra.ExactArgs(1),
		func(ctx context.Context, s *subject, im *survey.Image, _ []string) error {
			return a.document(ctx, s, im, beside, document{provenanceSuffix, sbom.WriteProvenance})
		})
	cmd.Flags().BoolVar(&beside, "beside", false, "write it beside the image's manifest, with the suffix "+provenanceSuffix)
	return cmd
}

// document is something written about an image.
type document struct {
	suffix string
	write  func(io.Writer, sbom.Subject) error
}

// document answers with a document, or puts it beside the image.
func (a *app) document(ctx context.Context, s *subject, im *survey.Image, beside bool, d document) error {
	about, err := s.about(ctx, im)
	if err != nil {
		return err
	}
	if !beside {
		var b bytes.Buffer
		if err := d.write(&b, about); err != nil {
			return err
		}
		_, err := a.env.Stdout.Write(b.Bytes())
		return err
	}
	path, err := s.writeBeside(about, d)
	if err == nil {
		fmt.Fprintln(a.env.Stdout, path)
	}
	return err
}

// writeBeside puts a document beside the image's manifest.
func (s *subject) writeBeside(about sbom.Subject, d document) (string, error) {
	stem := stemOf(s.manifest)
	if stem == "" {
		return "", fault.WithHint(fault.Usage.Errorf("%s: its manifest is in no directory to write beside", about.Image.Name), "name the image by its manifest")
	}
	var b bytes.Buffer
	if err := d.write(&b, about); err != nil {
		return "", err
	}
	return stem + d.suffix, newfile.Write(stem+d.suffix, b.Bytes(), 0o666)
}

// describeBuilt writes bills of materials and provenance beside a new image, so
// that they are uploaded with it (ENGBLD_SBOM=true).
func (a *app) describeBuilt(ctx context.Context, manifest string) error {
	o := &opener{a: a}
	defer o.close()
	s, err := o.subject(ctx, manifest)
	if err != nil {
		return err
	}
	im, err := s.survey(ctx)
	if err != nil {
		return err
	}
	about, err := s.about(ctx, im)
	if err != nil {
		return err
	}
	for _, d := range []document{
		{cycloneDXSuffix, sbom.WriteCycloneDX}, {spdxSuffix, sbom.WriteSPDX}, {provenanceSuffix, sbom.WriteProvenance},
	} {
		path, err := s.writeBeside(about, d)
		if err != nil {
			return fault.Step.Errorf("%s: %w", filepath.Base(manifest), err)
		}
		a.ui().Detailf("%s", path)
	}
	return nil
}

// about gathers what bills of materials and provenance tell of an image. The
// image file, where it is at hand, has to be the one of the manifest.
func (s *subject) about(ctx context.Context, im *survey.Image) (sbom.Subject, error) {
	about := sbom.Subject{Image: im}
	if im.Manifest == nil {
		return about, nil // refused where it is written
	}
	if n := len(s.images); n > 1 {
		about.Origin = s.images[n-2].Manifest
	}
	var err error
	if about.Record, err = s.record(im); err != nil {
		return about, err
	}
	about.FileName, about.SHA256, err = imageFile(ctx, s.manifest, im.Manifest)
	return about, err
}

// imageFile reads the image file beside a manifest, which has to be the one that
// the manifest describes: its name and SHA-256, "" where there is none.
func imageFile(ctx context.Context, manifest string, m *imgmanifest.Manifest) (name, sum string, err error) {
	files := m.Files()
	if len(files) != 1 {
		return "", "", nil
	}
	path := beside(manifest, ".zfs"+imagefile.Suffix(files[0].Compression))
	if path == "" {
		return "", "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	h1, h256 := sha1.New(), sha256.New()
	if _, err := io.Copy(io.MultiWriter(h1, h256), &stopping{ctx, f}); err != nil {
		return "", "", fmt.Errorf("%s: %w", path, err)
	}
	if got := hex.EncodeToString(h1.Sum(nil)); got != files[0].SHA1 {
		return "", "", fault.Drift.Errorf("%s: its sha1 is %s, the manifest says %s", path, got, files[0].SHA1)
	}
	return filepath.Base(path), hex.EncodeToString(h256.Sum(nil)), nil
}

// record is what the build left behind: beside the image, else in the cache; nil
// where there is nothing.
func (s *subject) record(im *survey.Image) (*lock.Record, error) {
	if path := beside(s.manifest, build.RecordSuffix); path != "" {
		return lock.ReadRecord(path)
	}
	records, err := s.records(im)
	if err != nil {
		return nil, err
	}
	r, err := records.Get(im.Manifest.UUID())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return r, err
}

// records is where builds of the image's world keep their records.
func (s *subject) records(im *survey.Image) (lock.Records, error) {
	cache, err := s.o.a.cacheRoot(im.Manifest.Sandbox())
	return lock.Records(filepath.Join(cache, "records")), err
}

func (a *app) sumsCommand() *cobra.Command {
	var check bool
	var key, signer string
	cmd := &cobra.Command{
		Use:   "sums DIR",
		Short: "Write or check SHA256SUMS of a directory, and sign it with an ssh key",
		Long: `Write SHA256SUMS of a directory, as sha256sum reads it. --sign signs it with an
ssh key: a private key's file, or the fingerprint of a key in ~/.ssh or the
agent. The signature is verified with

  ssh-keygen -Y verify -f ALLOWED_SIGNERS -I WHO -n file -s SHA256SUMS.sig < SHA256SUMS

or here with --check, which compares all files, and the signature if there is
one; --signer says whose it must be. A difference is exit code 3, a signature
that is bad, missing or somebody else's 7.`,
		Example: `  engbld image sums --sign ~/.ssh/id_ed25519 bits/triton-origin-x86_64-24.4.1
  engbld image sums --check --signer SHA256:… bits/triton-origin-x86_64-24.4.1`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := a.abs(args[0])
			if check {
				if key != "" {
					return fault.Usage.Errorf("image sums: --check and --sign exclude each other")
				}
				return a.checkSums(cmd.Context(), dir, signer)
			}
			if signer != "" {
				return fault.Usage.Errorf("image sums: --signer goes with --check")
			}
			var signWith *sshsign.Key
			if key != "" {
				var err error
				places := sshsign.Places{Home: a.env.Getenv("HOME"), Agent: a.env.Getenv("SSH_AUTH_SOCK")}
				if _, ferr := sshsign.ParseFingerprint(key); ferr != nil && !strings.HasPrefix(key, "~/") {
					key = a.abs(key)
				}
				if signWith, err = places.Identity(key); err != nil {
					return err
				}
			}
			list, err := sums.Write(cmd.Context(), dir)
			if err == nil && signWith != nil {
				err = sums.SignList(signWith, dir)
			}
			if err != nil {
				return fault.Step.Errorf("sums of %s: %w", args[0], err)
			}
			_, err = a.env.Stdout.Write(sums.Encode(list))
			return err
		},
	}
	f := cmd.Flags()
	f.BoolVar(&check, "check", false, "compare the directory with its SHA256SUMS")
	f.StringVar(&key, "sign", "", "sign with this key: a private key's file, or a fingerprint")
	f.StringVar(&signer, "signer", "", "with --check: fingerprint of the key that must have signed")
	return cmd
}

func (a *app) checkSums(ctx context.Context, dir, signer string) error {
	list, problems, err := sums.Check(ctx, dir)
	if err != nil {
		return fault.Step.Errorf("checking the sums of %s: %w", dir, err)
	}
	if err := a.checkSignature(dir, signer); err != nil {
		return err
	}
	for _, p := range problems {
		fmt.Fprintf(a.env.Stdout, "%s: %s\n", survey.Plain(p.Name), p.What)
	}
	if len(problems) > 0 {
		return fault.Drift.Errorf("%s: %d files are not as %s says", dir, len(problems), sums.ListName)
	}
	fmt.Fprintf(a.env.Stdout, "%d files as listed\n", len(list))
	return nil
}

func (a *app) checkSignature(dir, signer string) error {
	pub, err := sums.VerifyList(dir)
	switch {
	case os.IsNotExist(err) && signer == "":
		a.ui().Infof("%s is not signed", sums.ListName)
		return nil
	case err != nil:
		return fault.Policy.Errorf("signature of %s: %w", filepath.Join(dir, sums.ListName), err)
	}
	if signer != "" {
		want, err := sshsign.ParseFingerprint(signer)
		if err != nil {
			return fault.Usage.Errorf("image sums: --signer: %w", err)
		}
		if !want.Matches(pub) {
			return fault.Policy.Errorf("%s is signed by %s, not by %s", filepath.Join(dir, sums.ListName), ssh.FingerprintSHA256(pub), signer)
		}
	}
	a.ui().Infof("signed by %s", ssh.FingerprintSHA256(pub))
	return nil
}
