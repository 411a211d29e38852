variable "name" {
  description = "Prefix of the names of everything that is made here."
  type        = string
  default     = "tierd"
}

variable "region" {
  description = "AWS region."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be the name of a region, such as eu-central-1."
  }
}

variable "tags" {
  description = "Tags of everything that is made here."
  type        = map(string)
  default     = {}
}

variable "image" {
  description = "Image of tierd, best by digest. It is copied into a repository of this account."
  type        = string
}

variable "collector_image" {
  description = "Image of the AWS Distro for OpenTelemetry Collector, copied likewise."
  type        = string
  default     = "public.ecr.aws/aws-observability/aws-otel-collector:v0.43.3"
}

variable "cidr" {
  description = "Addresses of the network. They must not overlap those of the API servers' network, from which clients come by a peering or a transit gateway."
  type        = string
  default     = "10.64.0.0/16"
}

variable "client_cidrs" {
  description = "Addresses from which clients may connect, such as those of the API servers' subnets."
  type        = list(string)
}

variable "clients" {
  description = "Clients that get a certificate, with its common name, which is the user's name where etcd's auth is on."
  type        = map(string)
  default     = { kube-apiserver = "kube-apiserver", admin = "admin" }
}

variable "endpoint_name" {
  description = "Name by which clients reach the deployment; null for the load balancer's own, which is another one after it was replaced."
  type        = string
  default     = null
}

variable "dns_zone_id" {
  description = "Route 53 zone in which endpoint_name is made; null if you make it elsewhere."
  type        = string
  default     = null
}

variable "alarm_emails" {
  description = "Who is told of alarms. Each address gets a message that it has to confirm."
  type        = list(string)
  default     = []
}

variable "archive_replication" {
  description = "A standby region's bucket and its key, to which the archive is replicated: output replication_target of aws-standby-region. null: none."
  type        = object({ bucket_arn = string, kms_key_arn = string })
  default     = null
}

variable "deletion_protection" {
  description = "Whether what holds state refuses to be destroyed. To take everything down: set it to false, apply, destroy."
  type        = bool
  default     = true
}

variable "availability_zones" {
  description = "Two zones of the region."
  type        = list(string)

  validation {
    condition     = length(var.availability_zones) >= 2
    error_message = "availability_zones must name two zones at least: what is in one ends with it."
  }
}

variable "engine" {
  description = "memorydb, whose log is durable, or elasticache, which is cheaper and keeps writes in memory alone."
  type        = string
  default     = "memorydb"
}

variable "node_type" {
  description = "Size of the shard's nodes. null: 13 GiB. db.t4g.small (1.4 GiB) is the cheapest, for trying."
  type        = string
  default     = null
}
