# Neither service refuses to delete a cluster, and Terraform's own prevent_destroy cannot depend on a variable, nor would it let a
# drained shard go. So a guard stands behind each cluster: Terraform destroys it before the cluster, also where the cluster would be
# replaced, and it refuses while its shard serves.

resource "terraform_data" "guard" {
  for_each = local.serving

  input = {
    shard     = "${var.name}-${each.key}"
    protected = var.deletion_protection && each.value
  }
  triggers_replace = local.memorydb ? aws_memorydb_cluster.this[each.key].arn : aws_elasticache_replication_group.this[each.key].arn

  provisioner "local-exec" {
    when    = destroy
    quiet   = true
    command = "if test \"$PROTECTED\" = true; then echo \"$SHARD serves and must not be destroyed or replaced. To remove a shard, lower shards and raise draining_shards by one, apply, and lower draining_shards once tierd shard list does not name it any more; to take all down, set deletion_protection = false and apply first.\" >&2; exit 1; fi"
    environment = {
      PROTECTED = self.input.protected
      SHARD     = self.input.shard
    }
  }
}
