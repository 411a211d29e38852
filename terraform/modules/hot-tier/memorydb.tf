# MemoryDB: a write is answered when its log in several zones has it, so no replica has to be waited for.

resource "aws_memorydb_subnet_group" "this" {
  count = local.memorydb ? 1 : 0

  name       = "${var.name}-hot-tier"
  subnet_ids = var.subnet_ids

  tags = var.tags
}

resource "aws_memorydb_parameter_group" "this" {
  count = local.memorydb ? 1 : 0

  name        = "${var.name}-hot-tier"
  description = "Nothing is ever evicted: tierd refuses a Redis that may delete data to free memory"
  family      = "memorydb_redis7"

  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }

  tags = var.tags
}

resource "aws_memorydb_cluster" "this" {
  for_each = local.memorydb_shards

  name        = "${var.name}-${each.key}"
  description = each.key == "0" ? "Home shard of ${var.name}" : "Shard ${each.key} of ${var.name}"

  # Redis OSS: tierd needs Redis 7 or Valkey 8, and the Valkey of MemoryDB is 7.
  engine                     = "redis"
  engine_version             = "7.1"
  auto_minor_version_upgrade = true
  node_type                  = local.node_type
  parameter_group_name       = aws_memorydb_parameter_group.this[0].name

  # One shard, and replicas in other zones: which is multi-AZ.
  num_shards             = 1
  num_replicas_per_shard = var.replicas
  subnet_group_name      = aws_memorydb_subnet_group.this[0].name
  security_group_ids     = [aws_security_group.this.id]
  port                   = local.port

  tls_enabled = true
  kms_key_arn = local.kms_key_arn
  acl_name    = aws_memorydb_acl.this[0].name

  snapshot_retention_limit = var.snapshot_retention_days
  snapshot_window          = var.snapshot_window
  maintenance_window       = var.maintenance_window
  final_snapshot_name      = "${var.name}-${each.key}-${var.final_snapshot_suffix}"

  tags = merge(var.tags, { Name = "${var.name}-${each.key}" })
}
