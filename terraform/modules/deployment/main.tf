# Every wire between the parts is here. The parts depend on each other in both directions (the load
# balancer's name is in the certificate that frontends fetch), but no resource does.

locals {
  object_tier = {
    url                 = module.object_tier.url
    bucket_arn          = module.object_tier.bucket_arn
    kms_key_arn         = module.object_tier.kms_key_arn
    archive_kms_key_arn = module.object_tier.archive_kms_key_arn
  }

  # Certificates of ACM Private CA are asked for by the job in the private subnets.
  interface_endpoints = concat(
    ["ecr.api", "ecr.dkr", "secretsmanager", "kms", "logs", "aps-workspaces"],
    var.pki.mode == "acm-pca" ? ["acm-pca"] : [],
  )
}

module "network" {
  source = "../network"

  name                               = var.name
  cidr                               = var.network.cidr
  availability_zones                 = var.network.availability_zones
  public_subnets                     = !var.internal
  interface_endpoints                = local.interface_endpoints
  endpoint_client_security_group_ids = [module.frontends.security_group_id]
  s3_bucket_arns                     = [module.object_tier.bucket_arn]
  tags                               = var.tags
}

module "registry" {
  source = "../registry"

  name   = var.name
  images = var.images
  tags   = var.tags
}

module "hot_tier" {
  source = "../hot-tier"

  name                    = var.name
  engine                  = var.hot_tier.engine
  shards                  = var.hot_tier.shards
  draining_shards         = var.hot_tier.draining_shards
  replicas                = var.hot_tier.replicas
  node_type               = var.hot_tier.node_type
  snapshot_retention_days = var.hot_tier.snapshot_retention_days
  snapshot_window         = var.hot_tier.snapshot_window
  maintenance_window      = var.hot_tier.maintenance_window
  password_generation     = var.hot_tier.password_generation
  # The scratch keyspaces of restore drills, too.
  keyspaces                 = [var.keyspace, "drill", "drill-*"]
  vpc_id                    = module.network.vpc_id
  subnet_ids                = module.network.private_subnet_ids
  client_security_group_ids = [module.frontends.security_group_id]
  deletion_protection       = var.deletion_protection
  tags                      = var.tags
}

module "object_tier" {
  source = "../object-tier"

  name                = var.name
  noncurrent_days     = var.object_tier.noncurrent_days
  object_lock         = var.object_tier.object_lock
  replication         = var.object_tier.replication
  force_destroy       = var.object_tier.force_destroy
  deletion_protection = var.deletion_protection
  tags                = var.tags
}

module "pki" {
  source = "../pki"

  name               = var.name
  image              = module.registry.images["tierd"]
  repository_arns    = values(module.registry.repository_arns)
  mode               = var.pki.mode
  clients            = var.pki.clients
  server_names       = compact([module.frontends.load_balancer_dns_name, var.endpoint_name])
  cluster_arn        = module.frontends.cluster_arn
  subnet_ids         = module.network.private_subnet_ids
  security_group_ids = [module.frontends.security_group_id]
  log_kms_key_arn    = module.frontends.log_kms_key_arn
  tags               = var.tags
}

module "frontends" {
  source = "../frontends"

  name            = var.name
  image           = module.registry.images["tierd"]
  collector_image = module.registry.images["collector"]
  repository_arns = values(module.registry.repository_arns)
  cpu             = var.frontends.cpu
  memory          = var.frontends.memory
  min_count       = var.frontends.min_count
  max_count       = var.frontends.max_count
  autoscaling     = var.frontends.autoscaling
  settings        = var.settings
  keyspace        = var.keyspace

  vpc_id                   = module.network.vpc_id
  vpc_cidr                 = module.network.vpc_cidr
  subnet_ids               = module.network.private_subnet_ids
  load_balancer_subnet_ids = module.network.public_subnet_ids
  s3_prefix_list_id        = module.network.s3_prefix_list_id
  client_cidrs             = var.client_cidrs
  internal                 = var.internal
  endpoint_name            = var.endpoint_name
  dns_zone_id              = var.dns_zone_id
  deletion_protection      = var.deletion_protection

  hot_tier_port                 = module.hot_tier.port
  hot_tier_url                  = module.hot_tier.endpoints[0]
  hot_tier_password_secret_arn  = module.hot_tier.password_secret_arn
  hot_tier_password_kms_key_arn = module.hot_tier.kms_key_arn
  replica_acks                  = module.hot_tier.replica_acks

  object_tier = local.object_tier

  pki = {
    store             = module.pki.store
    ca_secret_arn     = module.pki.ca_secret_arn
    server_secret_arn = module.pki.server_secret_arn
    kms_key_arn       = module.pki.kms_key_arn
  }

  remote_write_url = module.observability.remote_write_url
  workspace_arn    = module.observability.workspace_arn
  tags             = var.tags
}

module "functions" {
  source = "../functions"

  name               = var.name
  image              = module.registry.images["tierd"]
  repository_arns    = values(module.registry.repository_arns)
  cluster_arn        = module.frontends.cluster_arn
  subnet_ids         = module.network.private_subnet_ids
  security_group_ids = [module.frontends.security_group_id]
  keyspace           = var.keyspace
  keep               = var.keep
  schedules          = var.schedules
  endpoints          = module.hot_tier.endpoints
  replica_acks       = module.hot_tier.replica_acks
  object_tier        = local.object_tier
  log_kms_key_arn    = module.frontends.log_kms_key_arn
  tags               = var.tags

  hot_tier_password_secret_arn  = module.hot_tier.password_secret_arn
  hot_tier_password_kms_key_arn = module.hot_tier.kms_key_arn
}

module "observability" {
  source = "../observability"

  name                     = var.name
  alarm_emails             = var.alarm_emails
  alarm_subscriptions      = var.alarm_subscriptions
  cluster_arn              = module.frontends.cluster_arn
  cluster_name             = module.frontends.cluster_name
  service_name             = module.frontends.service_name
  min_count                = var.frontends.min_count
  max_count                = var.frontends.max_count
  load_balancer_arn_suffix = module.frontends.load_balancer_arn_suffix
  target_group_arn_suffix  = module.frontends.target_group_arn_suffix
  engine                   = module.hot_tier.engine
  hot_tier_cluster_names   = module.hot_tier.cluster_names
  hot_tier_replicas        = module.hot_tier.replicas
  tags                     = var.tags

  dead_letter_queue_names = {
    functions = module.functions.dead_letter_queue_name
    pki       = module.pki.dead_letter_queue_name
  }
}
