# The hot tier: as many Redis as there are shards, each a cluster of its own (memorydb.tf, elasticache.tf), one user (user.tf) whose
# password nobody keeps (password.tf), and a guard in front of each that serves (protection.tf).

locals {
  memorydb = var.engine == "memorydb"
  port     = 6379

  # Number of the shard => whether it serves, or is only there to be emptied.
  serving = { for i in range(var.shards + var.draining_shards) : tostring(i) => i < var.shards }

  memorydb_shards    = local.memorydb ? local.serving : {}
  elasticache_shards = local.memorydb ? {} : local.serving

  user_name   = coalesce(var.user_name, var.name)
  node_type   = coalesce(var.node_type, local.memorydb ? "db.r7g.large" : "cache.r7g.large")
  kms_key_arn = var.kms_key_arn == null ? aws_kms_key.this[0].arn : var.kms_key_arn

  addresses = merge(
    { for i, cluster in aws_memorydb_cluster.this : i => cluster.cluster_endpoint[0].address },
    { for i, group in aws_elasticache_replication_group.this : i => group.primary_endpoint_address },
  )
  # MemoryDB is always a Redis Cluster, here one of a single shard; the groups of ElastiCache are single servers with replicas.
  scheme = local.memorydb ? "rediss+cluster" : "rediss"
  urls   = { for i, address in local.addresses : i => "${local.scheme}://${local.user_name}@${address}:${local.port}" }
}

resource "aws_kms_key" "this" {
  count = var.kms_key_arn == null ? 1 : 0

  description             = "${var.name}: hot tier and its password"
  enable_key_rotation     = true
  deletion_window_in_days = 30

  tags = var.tags
}

resource "aws_kms_alias" "this" {
  count = var.kms_key_arn == null ? 1 : 0

  name          = "alias/${var.name}-hot-tier"
  target_key_id = aws_kms_key.this[0].key_id
}

resource "aws_security_group" "this" {
  name        = "${var.name}-hot-tier"
  description = "Redis of ${var.name}"
  vpc_id      = var.vpc_id

  tags = merge(var.tags, { Name = "${var.name}-hot-tier" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  count = length(var.client_security_group_ids)

  security_group_id            = aws_security_group.this.id
  description                  = "Redis protocol over TLS from a client of the hot tier"
  referenced_security_group_id = var.client_security_group_ids[count.index]
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port

  tags = var.tags
}
