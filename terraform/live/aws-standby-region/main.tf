# A copy of the archive in this region, a key that opens it, Redis to restore to, and jobs that prove that it can be
# restored. Nothing here serves clients: that comes in a later release.

data "aws_region" "current" {}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  region    = data.aws_region.current.region
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition

  object_tier = {
    url                 = module.object_tier.url
    bucket_arn          = module.object_tier.bucket_arn
    kms_key_arn         = module.object_tier.kms_key_arn
    archive_kms_key_arn = module.object_tier.archive_kms_key_arn
  }
}

module "network" {
  source = "../../modules/network"

  name                               = var.name
  cidr                               = var.cidr
  availability_zones                 = var.availability_zones
  interface_endpoints                = ["ecr.api", "ecr.dkr", "secretsmanager", "kms", "logs"]
  endpoint_client_security_group_ids = [aws_security_group.jobs.id]
  s3_bucket_arns                     = [module.object_tier.bucket_arn]
}

module "registry" {
  source = "../../modules/registry"

  name   = var.name
  images = { tierd = var.image }
}

# What the primary region replicates to. Its master key here is a replica of the one there.
module "object_tier" {
  source = "../../modules/object-tier"

  name                    = var.name
  archive_key_primary_arn = var.primary.archive_kms_key_arn
  noncurrent_days         = var.noncurrent_days
  deletion_protection     = var.deletion_protection
}

module "hot_tier" {
  source = "../../modules/hot-tier"

  name                      = var.name
  engine                    = "memorydb"
  shards                    = var.shards
  replicas                  = var.replicas
  node_type                 = var.node_type
  keyspaces                 = [var.keyspace, "drill", "drill-*"]
  vpc_id                    = module.network.vpc_id
  subnet_ids                = module.network.private_subnet_ids
  client_security_group_ids = [aws_security_group.jobs.id]
  deletion_protection       = var.deletion_protection
}

# Each run reads the copy, not the original: what it proves is that this region needs no other.
module "functions" {
  source = "../../modules/functions"

  name               = var.name
  jobs               = ["archive-verify", "restore-drill"]
  image              = module.registry.images["tierd"]
  repository_arns    = values(module.registry.repository_arns)
  cluster_arn        = aws_ecs_cluster.jobs.arn
  subnet_ids         = module.network.private_subnet_ids
  security_group_ids = [aws_security_group.jobs.id]
  keyspace           = var.keyspace
  endpoints          = module.hot_tier.endpoints
  replica_acks       = module.hot_tier.replica_acks
  object_tier        = local.object_tier
  log_kms_key_arn    = aws_kms_key.logs.arn

  hot_tier_password_secret_arn  = module.hot_tier.password_secret_arn
  hot_tier_password_kms_key_arn = module.hot_tier.kms_key_arn

  schedules = {
    archive_verify = var.schedules.verify
    restore_drill  = var.schedules.drill
  }
}
