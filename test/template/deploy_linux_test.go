// Package template_test runs scripts/deploy against commands that only note what they were
// asked. What AWS makes of it cannot be seen here.
package template_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakes are the commands that the script calls, by name. Each notes its arguments in the
// file calls. The folder "aws" holds what AWS knows: a stack is a file.
var fakes = map[string]string{
	"make": `mkdir -p dist && echo "$*" >dist/writer.zip`,
	"git":  `echo v1.2.3`,
	"sam":  `cp template.yaml "${!#}"`,
	"aws": `
option() { while [ $# -gt 1 ]; do [ "$1" != "$OPTION" ] || { echo "$2"; return; }; shift; done; }
stack=$(OPTION=--stack-name option "$@")
case "$1 $2" in
"s3 cp")
	case $3 in
	s3://*) cp "$HERE/aws/$(basename "$3")" "$4" ;;
	*) cp "$3" "$HERE/aws/$(basename "$4")" ;;
	esac ;;
"cloudformation deploy") echo CREATE_COMPLETE >"$HERE/aws/$stack" ;;
"cloudformation describe-stacks")
	case "$*" in
	*OutputKey==\'DataBucket\'*) echo bobbin-dev-data-bucket-1 ;;
	*OutputKey==\'KeyArn\'*) echo arn:aws:kms:us-east-1:111122223333:key/mrk-1 ;;
	*OutputKey==\'Url\'*) echo https://api.example ;;
	*ParameterKey*) printf 'Stage\tDataBucket\tKeyArn\tRelease\tReleaseDigest\tMemory\tShift\n' ;;
	*) cat "$HERE/aws/$stack" 2>/dev/null || { echo "Stack with id $stack does not exist" >&2; exit 254; } ;;
	esac ;;
"cloudwatch describe-alarms") cat "$HERE/aws/alarm" 2>/dev/null || echo None ;;
"cloudformation create-change-set")
	for name in parameters rollback-configuration; do
		file=$(OPTION=--$name option "$@")
		cp "${file#file://}" "$HERE/$name.json"
	done ;;
"cloudformation wait")
	case $3 in
	change-set-create-complete) [ ! -f "$HERE/aws/unchanged" ] ;;
	*) [ ! -f "$HERE/aws/rolls-back" ] || { echo UPDATE_ROLLBACK_COMPLETE >"$HERE/aws/$stack"; exit 255; } ;;
	esac ;;
"cloudformation describe-change-set") cat "$HERE/aws/unchanged" ;;
"cloudformation execute-change-set") echo UPDATE_COMPLETE >"$HERE/aws/$stack" ;;
"cloudformation delete-change-set") ;;
"lambda invoke") cat "$HERE/aws/store" >"${!#}"; cat "$HERE/aws/failed" 2>/dev/null || echo None ;;
*) echo "aws $* is not known here" >&2; exit 252 ;;
esac`,
}

// site is a folder with what the script needs of the project, and with the fakes.
type site struct {
	dir string
	env []string
}

func newSite(t *testing.T, aws map[string]string) *site {
	t.Helper()
	s := &site{dir: t.TempDir()}
	for _, name := range []string{"scripts/deploy", "template.yaml", "infra/data.yaml"} {
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		s.write(t, name, string(text))
	}
	for name, body := range fakes {
		s.write(t, "fakes/"+name, "#!/bin/bash\nset -euo pipefail\nprintf '%s\\n' \""+name+" $*\" >>\"$HERE/calls\"\n"+body+"\n")
	}
	s.write(t, "bin/bobbin", "#!/bin/bash\nprintf '%s\\n' \"bobbin $* $BOBBIN_BACKEND_KEY $BOBBIN_FRONTEND_KEY\" >>\"$HERE/calls\"\n")
	s.write(t, "aws/store", `{"made": false}`)
	for name, text := range aws {
		s.write(t, "aws/"+name, text)
	}
	s.env = append(os.Environ(), "HERE="+s.dir, "PATH="+s.dir+"/fakes:"+os.Getenv("PATH"),
		"PACKAGES=packages", "STACK_ROLE=", "RELEASE=", "AWS_REGION=us-east-1", "BOBBIN_BACKEND_KEY=", "BOBBIN_FRONTEND_KEY=")
	return s
}

func (s *site) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func (s *site) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(text)
}

// deploy runs the script and returns what it printed, and its exit code.
func (s *site) deploy(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, text strings.Builder
	cmd := exec.CommandContext(t.Context(), "bash", append([]string{filepath.Join(s.dir, "scripts/deploy")}, args...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = s.env, &out, &text
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), text.String(), cmd.ProcessState.ExitCode()
}

// parameters is what the change set was made with; "previous" for a value that stays.
func (s *site) parameters(t *testing.T) map[string]string {
	t.Helper()
	var list []struct {
		ParameterKey, ParameterValue string
		UsePreviousValue             bool
	}
	if err := json.Unmarshal([]byte(s.read(t, "parameters.json")), &list); err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for _, p := range list {
		values[p.ParameterKey] = p.ParameterValue
		if p.UsePreviousValue {
			values[p.ParameterKey] = "previous"
		}
	}
	return values
}

func TestDeployMakesAStore(t *testing.T) {
	made := `{"made": true, "backend_key": "bk_1", "frontend_key": "fk_1", "admin_key": "ak_1"}`
	s := newSite(t, map[string]string{"store": made})
	stdout, stderr, code := s.deploy(t, "dev", `AllowedOrigins=https://a.example,https://b.example`, "Arch=x86_64")
	if code != 0 {
		t.Fatalf("deploy = %d\n%s", code, stderr)
	}
	if stdout != made {
		t.Errorf("stdout = %q, want the keys of the store that was made", stdout)
	}
	got := s.parameters(t)
	digest := got["ReleaseDigest"]
	delete(got, "ReleaseDigest")
	if len(digest) != 64 {
		t.Errorf("ReleaseDigest = %q, want a SHA-256", digest)
	}
	for name, want := range map[string]string{
		"Stage": "dev", "DataBucket": "bobbin-dev-data-bucket-1", "KeyArn": "arn:aws:kms:us-east-1:111122223333:key/mrk-1",
		"Release": "v1.2.3", "Arch": "x86_64", "AllowedOrigins": "https://a.example,https://b.example",
	} {
		if got[name] != want {
			t.Errorf("%s = %q, want %q", name, got[name], want)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("a new stack is given %v, want its defaults", got)
	}
	if rollback := strings.TrimSpace(s.read(t, "rollback-configuration.json")); rollback != "{}" {
		t.Errorf("rolled back on %s, want nothing before there is an alarm", rollback)
	}
	calls := s.read(t, "calls")
	for _, want := range []string{
		"make --no-print-directory build build-functions ARCH=x86_64\n",
		"--change-set-type CREATE --template-url https://packages.s3.us-east-1.amazonaws.com/bobbin-dev/releases/v1.2.3.yaml",
		"cloudformation wait stack-create-complete --stack-name bobbin-dev\n",
		"bobbin smoke --url https://api.example bk_1 fk_1\n",
	} {
		if !strings.Contains(calls, want) {
			t.Errorf("calls lack %q:\n%s", want, calls)
		}
	}
}

const alarm = "arn:aws:cloudwatch:us-east-1:111122223333:alarm:bobbin-dev"

func TestDeployUpdatesWatchingTheAlarm(t *testing.T) {
	s := newSite(t, map[string]string{"bobbin-dev": "UPDATE_COMPLETE", "alarm": alarm})
	s.env = append(s.env, "STACK_ROLE=arn:role", "BOBBIN_BACKEND_KEY=bk_2", "BOBBIN_FRONTEND_KEY=fk_2")
	stdout, stderr, code := s.deploy(t, "dev", "Memory=2048")
	if code != 0 || stdout != "" {
		t.Fatalf("deploy = %d, stdout %q\n%s", code, stdout, stderr)
	}
	got := s.parameters(t)
	if got["Memory"] != "2048" || got["Shift"] != "previous" || got["AllowedOrigins"] != "" {
		t.Errorf("parameters = %v, want Memory given, Shift as before, and what is new at its default", got)
	}
	want := `{"RollbackTriggers":[{"Arn":"` + alarm + `","Type":"AWS::CloudWatch::CompositeAlarm"}],"MonitoringTimeInMinutes":5}`
	if rollback := strings.TrimSpace(s.read(t, "rollback-configuration.json")); rollback != want {
		t.Errorf("rolled back on %s, want %s", rollback, want)
	}
	calls := s.read(t, "calls")
	for _, want := range []string{"--change-set-type UPDATE", "CAPABILITY_AUTO_EXPAND --role-arn arn:role\n", "stack-update-complete", "bk_2 fk_2\n"} {
		if !strings.Contains(calls, want) {
			t.Errorf("calls lack %q:\n%s", want, calls)
		}
	}
}

// SAM publishes a version when the digest is another one, and only then.
func TestDeployDigestsWhatAReleaseIs(t *testing.T) {
	digest := func(change func(s *site), args ...string) string {
		s := newSite(t, nil)
		change(s)
		if _, stderr, code := s.deploy(t, append([]string{"dev"}, args...)...); code != 0 {
			t.Fatalf("deploy = %d\n%s", code, stderr)
		}
		return s.parameters(t)["ReleaseDigest"]
	}
	same := func(*site) {}
	first := digest(same, "Memory=512", "LogDays=7")
	if again := digest(same, "LogDays=7", "Memory=512"); again != first {
		t.Errorf("the same release has the digests %s and %s", first, again)
	}
	for name, other := range map[string]string{
		"parameter": digest(same, "Memory=1024", "LogDays=7"),
		"release":   digest(func(s *site) { s.env = append(s.env, "RELEASE=v2") }, "Memory=512", "LogDays=7"),
		"package":   digest(func(s *site) { s.write(t, "fakes/make", "#!/bin/bash\nmkdir -p dist && echo other >dist/writer.zip") }, "Memory=512", "LogDays=7"),
		"template":  digest(func(s *site) { s.write(t, "template.yaml", s.read(t, "template.yaml")+"# changed\n") }, "Memory=512", "LogDays=7"),
	} {
		if other == first {
			t.Errorf("another %s has the same digest", name)
		}
	}
}

func TestDeployAgain(t *testing.T) {
	s := newSite(t, nil)
	if _, stderr, code := s.deploy(t, "dev", "Memory=512"); code != 0 {
		t.Fatalf("deploy = %d\n%s", code, stderr)
	}
	first := s.parameters(t)
	s.write(t, "fakes/git", "#!/bin/bash\necho v1.3.0")
	if _, stderr, code := s.deploy(t, "dev", "Memory=1024"); code != 0 {
		t.Fatalf("deploy = %d\n%s", code, stderr)
	}
	if s.parameters(t)["Release"] != "v1.3.0" {
		t.Fatalf("parameters = %v", s.parameters(t))
	}
	os.Remove(filepath.Join(s.dir, "calls"))
	if _, stderr, code := s.deploy(t, "dev", "--release", "v1.2.3"); code != 0 {
		t.Fatalf("deploy --release = %d\n%s", code, stderr)
	}
	got := s.parameters(t)
	for _, name := range []string{"Release", "ReleaseDigest", "Memory"} {
		if got[name] != first[name] {
			t.Errorf("%s = %q, want %q as it was deployed first", name, got[name], first[name])
		}
	}
	if calls := s.read(t, "calls"); strings.Contains(calls, "make ") || strings.Contains(calls, "sam ") {
		t.Errorf("a saved release is built again:\n%s", calls)
	}
}

func TestDeployRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		aws  map[string]string
		args []string
		env  string
		code int
		says string
	}{
		{"no stage", nil, nil, "", 2, "usage: scripts/deploy STAGE"},
		{"a stage that is no name", nil, []string{"Prod_1"}, "", 1, "STAGE Prod_1"},
		{"a parameter that is computed", nil, []string{"dev", "ReleaseDigest=0"}, "", 1, "ReleaseDigest is not yours to give"},
		{"a parameter that is not there", nil, []string{"dev", "Memroy=1"}, "", 1, "no parameter Memroy"},
		{"a word that is no parameter", nil, []string{"dev", "now"}, "", 2, "usage"},
		{"no bucket for packages", nil, []string{"dev"}, "PACKAGES=", 1, "PACKAGES"},
		{"a stack in the middle of something", map[string]string{"bobbin-dev": "UPDATE_IN_PROGRESS"}, []string{"dev"}, "", 1, "UPDATE_IN_PROGRESS"},
		{"a stack that was never made whole", map[string]string{"bobbin-dev": "ROLLBACK_COMPLETE"}, []string{"dev"}, "", 1, "never made whole"},
		{"an update that was rolled back", map[string]string{"bobbin-dev": "UPDATE_COMPLETE", "rolls-back": ""}, []string{"dev"}, "", 1, "UPDATE_ROLLBACK_COMPLETE"},
		{"a change set that failed", map[string]string{"bobbin-dev": "UPDATE_COMPLETE", "unchanged": "Template error"}, []string{"dev"}, "", 1, "Template error"},
		{"a store that was not made", map[string]string{"failed": "Unhandled", "store": `{"errorMessage": "denied"}`}, []string{"dev"}, "", 1, "denied"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, c.aws)
			if c.env != "" {
				s.env = append(s.env, c.env)
			}
			_, stderr, code := s.deploy(t, c.args...)
			if code != c.code || !strings.Contains(stderr, c.says) {
				t.Errorf("deploy = %d, want %d and %q\n%s", code, c.code, c.says, stderr)
			}
			if strings.Contains(s.read(t, "calls"), "bobbin smoke") {
				t.Error("it was smoked")
			}
			if s.read(t, "aws/v1.2.3.parameters") != "" && c.name != "a store that was not made" {
				t.Error("it was saved as a release to go back to")
			}
		})
	}
}

func TestDeployOfNothingNew(t *testing.T) {
	s := newSite(t, map[string]string{"bobbin-dev": "UPDATE_COMPLETE", "unchanged": "The submitted information didn't contain changes."})
	_, stderr, code := s.deploy(t, "dev")
	if code != 0 || !strings.Contains(stderr, "nothing changed") || !strings.Contains(stderr, "not smoked") {
		t.Errorf("deploy = %d\n%s", code, stderr)
	}
	if calls := s.read(t, "calls"); strings.Contains(calls, "execute-change-set") {
		t.Errorf("calls:\n%s", calls)
	}
}
