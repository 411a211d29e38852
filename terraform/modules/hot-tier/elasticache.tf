# ElastiCache: half the price. Writes are in the memory of the primary and, because tierd waits for it, of a replica in another
# zone. There is no append-only file: what all nodes of a shard lose at once comes back from tierd's archive, but for its last seconds.

resource "aws_elasticache_subnet_group" "this" {
  count = local.memorydb ? 0 : 1

  name       = "${var.name}-hot-tier"
  subnet_ids = var.subnet_ids

  tags = var.tags
}

resource "aws_elasticache_parameter_group" "this" {
  count = local.memorydb ? 0 : 1

  name        = "${var.name}-hot-tier"
  description = "Nothing is ever evicted: tierd refuses a Redis that may delete data to free memory"
  family      = "valkey8"

  # The service's own default, volatile-lru, deletes keys.
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }

  tags = var.tags
}

resource "aws_elasticache_replication_group" "this" {
  for_each = local.elasticache_shards

  replication_group_id = "${var.name}-${each.key}"
  description          = each.key == "0" ? "Home shard of ${var.name}" : "Shard ${each.key} of ${var.name}"

  engine                     = "valkey"
  engine_version             = "8.1"
  auto_minor_version_upgrade = true
  apply_immediately          = false # changes that fail over wait for the maintenance window
  node_type                  = local.node_type
  parameter_group_name       = aws_elasticache_parameter_group.this[0].name

  num_cache_clusters         = 1 + var.replicas
  automatic_failover_enabled = true
  multi_az_enabled           = true
  subnet_group_name          = aws_elasticache_subnet_group.this[0].name
  security_group_ids         = [aws_security_group.this.id]
  port                       = local.port

  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  at_rest_encryption_enabled = true
  kms_key_id                 = local.kms_key_arn
  user_group_ids             = [aws_elasticache_user_group.this[0].user_group_id]

  snapshot_retention_limit  = var.snapshot_retention_days
  snapshot_window           = var.snapshot_window
  maintenance_window        = var.maintenance_window
  final_snapshot_identifier = "${var.name}-${each.key}-${var.final_snapshot_suffix}"

  tags = merge(var.tags, { Name = "${var.name}-${each.key}" })
}
