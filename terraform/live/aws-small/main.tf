# One home shard and two frontends: the smallest deployment in which no machine that fails, and no zone,
# takes it down.
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
    engine    = var.engine
    node_type = var.node_type
    shards    = 1
    # With ElastiCache a write waits for a replica: while there is none, nothing can be written.
    replicas = var.engine == "memorydb" ? 1 : 2
  }

  frontends = {
    cpu       = 1024
    memory    = 2048
    min_count = 2
    max_count = 4
  }

  object_tier = {
    replication = var.archive_replication
  }

  pki = {
    mode    = "self-managed"
    clients = var.clients
  }

  client_cidrs        = var.client_cidrs
  endpoint_name       = var.endpoint_name
  dns_zone_id         = var.dns_zone_id
  alarm_emails        = var.alarm_emails
  deletion_protection = var.deletion_protection
}
