# Three zones, as many shards as asked for, and frontends that follow the load.
module "deployment" {
  source = "../../modules/deployment"

  name = var.name

  images = {
    tierd     = var.image
    collector = var.collector_image
  }

  network = {
    cidr               = var.cidr
    availability_zones = var.availability_zones
  }

  hot_tier = {
    engine                  = "memorydb"
    shards                  = var.shards
    draining_shards         = var.draining_shards
    replicas                = 2
    node_type               = var.node_type
    snapshot_retention_days = 14
    password_generation     = var.password_generation
  }

  frontends = {
    cpu         = var.frontends.cpu
    memory      = var.frontends.memory
    min_count   = var.frontends.min_count
    max_count   = var.frontends.max_count
    autoscaling = var.frontends.autoscaling
  }

  object_tier = {
    noncurrent_days = 30
    object_lock     = var.object_lock
    replication     = var.archive_replication
  }

  pki = {
    mode    = var.acm_pca ? "acm-pca" : "self-managed"
    clients = var.clients
  }

  settings            = var.settings
  client_cidrs        = var.client_cidrs
  endpoint_name       = var.endpoint_name
  dns_zone_id         = var.dns_zone_id
  alarm_emails        = var.alarm_emails
  deletion_protection = var.deletion_protection
}
