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
  description = "Three zones of the region."
  type        = list(string)

  validation {
    condition     = length(var.availability_zones) == 3
    error_message = "availability_zones must name three zones."
  }
}

variable "shards" {
  description = "How many Redis the keyspace may use. More: change this and apply. Fewer: see draining_shards."
  type        = number
  default     = 3
}

variable "draining_shards" {
  description = "How many Redis beyond shards still exist and are being emptied. To go from 4 shards to 3: shards = 3 and draining_shards = 1, and draining_shards = 0 once tierd shard list does not name the fourth any more."
  type        = number
  default     = 0
}

variable "node_type" {
  description = "Size of the shards' nodes. null: db.r7g.large, 13 GiB."
  type        = string
  default     = null
}

variable "password_generation" {
  description = "Number of the hot tier's password. One more makes a new one, to which the frontends change without an error."
  type        = number
  default     = 1
}

variable "frontends" {
  description = "Size and number of the frontends, and what one should carry on average: see module frontends."
  type = object({
    cpu       = optional(number, 2048)
    memory    = optional(number, 4096)
    min_count = optional(number, 3)
    max_count = optional(number, 12)
    autoscaling = optional(object({
      cpu_percent         = optional(number, 60)
      requests_per_second = optional(number, 5000)
      open_streams        = optional(number, 10000)
      scale_in_cooldown   = optional(number, 600)
      scale_out_cooldown  = optional(number, 60)
    }), {})
  })
  default = {}

  validation {
    condition     = var.frontends.min_count >= 3
    error_message = "frontends.min_count must be at least 3, one for each zone."
  }
}

variable "acm_pca" {
  description = "Whether certificates are of an authority of ACM Private CA, whose key never leaves AWS, rather than self-managed."
  type        = bool
  default     = false
}

variable "object_lock" {
  description = "Lock on the archive's objects: mode GOVERNANCE or COMPLIANCE, and for how many days nobody can delete what was written. What pruning deletes stays as an old version until then. null: none. It can be turned on later; what is locked stays so."
  type        = object({ mode = string, days = number })
  default     = null
}

variable "settings" {
  description = "More settings of tierd serve by their variables, such as TIERD_QUOTA_BACKEND_BYTES."
  type        = map(string)
  default     = {}
}
