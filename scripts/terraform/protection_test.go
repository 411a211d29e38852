package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// guarded is a configuration that has the guard of a module, and stand-ins for what that guards:
// nothing but what terraform has built in, so that it can be applied.
type guarded struct {
	t         *testing.T
	folder    string
	terraform string
}

// newGuarded takes protection.tf of a module, with other names for what is guarded.
func newGuarded(t *testing.T, module, standIns string, names ...string) guarded {
	t.Helper()
	terraform, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("there is no terraform on this machine")
	}
	text, err := os.ReadFile(filepath.Join("../../terraform/modules", module, "protection.tf"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(names); i += 2 {
		if !strings.Contains(string(text), names[i]) {
			t.Fatalf("the guard of %s is not for %s any more", module, names[i])
		}
	}
	guard := strings.NewReplacer(names...).Replace(string(text))
	g := guarded{t: t, terraform: terraform, folder: write(t, map[string]string{"main.tf": standIns, "protection.tf": guard})}
	if output, err := g.run("init", "-no-color"); err != nil {
		t.Fatal(output)
	}
	return g
}

func (g guarded) run(arguments ...string) (string, error) {
	cmd := exec.CommandContext(g.t.Context(), g.terraform, arguments...)
	cmd.Dir, cmd.Env = g.folder, append(neutralEnvironment(), "CHECKPOINT_DISABLE=1")
	output, err := cmd.CombinedOutput()
	return string(output), err
}

// apply applies, and demands that this is refused in these words; "" for an apply that works.
func (g guarded) apply(refusal string, arguments ...string) {
	g.t.Helper()
	output, err := g.run(append([]string{"apply", "-auto-approve", "-no-color"}, arguments...)...)
	if (err != nil) != (refusal != "") || !strings.Contains(strings.Join(strings.Fields(output), " "), refusal) {
		g.t.Fatalf("apply %v: %v\n%s", arguments, err, output)
	}
}

// there demands that exactly these are left.
func (g guarded) there(wanted ...string) {
	g.t.Helper()
	output, err := g.run("state", "list")
	if err != nil && len(wanted) > 0 {
		g.t.Fatal(output)
	}
	var found []string
	for line := range strings.Lines(output) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "terraform_data.") && !strings.Contains(line, "guard") {
			found = append(found, line)
		}
	}
	slices.Sort(found)
	if !slices.Equal(found, wanted) {
		g.t.Errorf("there are %q, and not %q", found, wanted)
	}
}

// A shard that serves is neither destroyed nor replaced. One that was drained goes, and all of
// them where protection was turned off before.
func TestShardsThatServeAreGuarded(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, "hot-tier", `
variable "shards" { default = 2 }
variable "draining_shards" { default = 0 }
variable "deletion_protection" { default = true }
variable "kms_key_arn" { default = "a key" }
variable "name" { default = "tierd" }
locals {
  memorydb = true
  serving  = { for i in range(var.shards + var.draining_shards) : tostring(i) => i < var.shards }
}
resource "terraform_data" "cluster" {
  for_each         = local.serving
  triggers_replace = var.kms_key_arn
}
`, "aws_memorydb_cluster.this[each.key].arn", "terraform_data.cluster[each.key].id",
		"aws_elasticache_replication_group.this[each.key].arn", "terraform_data.cluster[each.key].id")
	const home, second = `terraform_data.cluster["0"]`, `terraform_data.cluster["1"]`
	g.apply("")
	g.there(home, second)
	g.apply("tierd-1 serves and must not be destroyed or replaced", "-var=shards=1")
	g.apply("serves and must not be destroyed or replaced", "-var=kms_key_arn=another key")
	g.apply("serves and must not be destroyed or replaced", "-destroy")
	g.there(home, second)
	g.apply("", "-var=shards=1", "-var=draining_shards=1")
	g.there(home, second)
	g.apply("", "-var=shards=1")
	g.there(home)
	g.apply("tierd-0 serves", "-var=shards=1", "-destroy")
	g.apply("", "-var=shards=1", "-var=deletion_protection=false")
	g.apply("", "-var=shards=1", "-var=deletion_protection=false", "-destroy")
	g.there()
}

// So is the archive, with its keys.
func TestArchiveIsGuarded(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, "object-tier", `
variable "deletion_protection" { default = true }
variable "archive_key_primary_arn" { default = "none" }
resource "terraform_data" "bucket" {}
resource "terraform_data" "key" { triggers_replace = var.archive_key_primary_arn }
`, "aws_s3_bucket.archive.bucket", `"archive"`, "aws_s3_bucket.archive.arn", "terraform_data.bucket.id",
		"local.archive_key", "terraform_data.key.id", "local.kms_key_arn", "terraform_data.key.id")
	const bucket, key = "terraform_data.bucket", "terraform_data.key"
	g.apply("")
	g.apply("The archive in archive must not be destroyed, nor its keys", "-destroy")
	g.apply("The archive in archive must not be destroyed, nor its keys", "-var=archive_key_primary_arn=another key")
	g.there(bucket, key)
	g.apply("", "-var=deletion_protection=false")
	g.apply("", "-var=deletion_protection=false", "-destroy")
	g.there()
}
