variable "name" {
  description = "Prefix of the names of everything that is made here."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,20}[a-z0-9]$", var.name)) && !strcontains(var.name, "--")
    error_message = "name must be 3 to 22 lower-case letters, digits and single hyphens, begin with a letter and not end with a hyphen."
  }
}

variable "tags" {
  description = "Tags of everything that is made here."
  type        = map(string)
  default     = {}
}

variable "images" {
  description = "Where the images come from: tierd's and the metrics collector's, which are copied into repositories of this account."
  type = object({
    tierd     = string
    collector = string
  })
}

variable "network" {
  description = "Addresses of the network, and the zones it has a subnet in."
  type = object({
    cidr               = optional(string, "10.64.0.0/16")
    availability_zones = list(string)
  })
}

variable "client_cidrs" {
  description = "Who may connect: blocks of addresses. Clients need a certificate in any case."
  type        = list(string)
}

variable "internal" {
  description = "Whether the load balancer has private addresses only."
  type        = bool
  default     = true
}

variable "endpoint_name" {
  description = "Name by which clients reach the load balancer; null for its own."
  type        = string
  default     = null
}

variable "dns_zone_id" {
  description = "Route 53 zone in which endpoint_name is made; null if you make it elsewhere."
  type        = string
  default     = null
}

variable "keyspace" {
  description = "Name of the keyspace."
  type        = string
  default     = "default"
}

variable "hot_tier" {
  description = "The shards: see module hot-tier."
  type = object({
    engine                  = optional(string, "memorydb")
    shards                  = optional(number, 1)
    draining_shards         = optional(number, 0)
    replicas                = optional(number, 1)
    node_type               = optional(string)
    snapshot_retention_days = optional(number, 7)
    snapshot_window         = optional(string, "03:00-04:00")
    maintenance_window      = optional(string, "sun:05:00-sun:06:00")
    password_generation     = optional(number, 1)
  })
  default = {}
}

variable "object_tier" {
  description = "The archive's bucket and keys: see module object-tier."
  type = object({
    noncurrent_days = optional(number, 30)
    object_lock     = optional(object({ mode = string, days = number }))
    replication     = optional(object({ bucket_arn = string, kms_key_arn = string }))
    force_destroy   = optional(bool, false)
  })
  default = {}
}

variable "pki" {
  description = "Certificates: self-managed or of ACM Private CA, and the clients that get one (name => common name)."
  type = object({
    mode    = optional(string, "self-managed")
    clients = optional(map(string), { kube-apiserver = "kube-apiserver", admin = "admin" })
  })
  default = {}

  validation {
    condition     = length(setsubtract(["kube-apiserver", "admin"], keys(var.pki.clients))) == 0
    error_message = "pki.clients must have kube-apiserver and admin, whose certificates the outputs speak of."
  }
}

variable "frontends" {
  description = "Size and number of the frontends: see module frontends."
  type = object({
    cpu       = optional(number, 2048)
    memory    = optional(number, 4096)
    min_count = optional(number, 2)
    max_count = optional(number, 6)
    autoscaling = optional(object({
      cpu_percent         = optional(number, 60)
      requests_per_second = optional(number, 5000)
      open_streams        = optional(number, 10000)
      scale_in_cooldown   = optional(number, 600)
      scale_out_cooldown  = optional(number, 60)
    }), {})
  })
  default = {}
}

variable "settings" {
  description = "More settings of tierd serve by their variables, such as TIERD_QUOTA_BACKEND_BYTES."
  type        = map(string)
  default     = {}
}

variable "schedules" {
  description = "When jobs run, in UTC: see module functions."
  type = object({
    shard_apply    = optional(string, "rate(5 minutes)")
    archive_verify = optional(string, "cron(15 2 * * ? *)")
    archive_prune  = optional(string, "cron(15 4 * * ? *)")
    restore_drill  = optional(string, "cron(15 5 ? * SUN *)")
  })
  default = {}
}

variable "keep" {
  description = "What is kept of the archive: every moment of age, and of what is older the newest snapshot of so many days and weeks."
  type = object({
    age    = optional(string, "30d")
    daily  = optional(number, 90)
    weekly = optional(number, 52)
  })
  default = {}
}

variable "alarm_emails" {
  description = "Who is told of alarms. Each address gets a message that it has to confirm."
  type        = list(string)
  default     = []
}

variable "alarm_subscriptions" {
  description = "Who else is told, by name: an https address, such as that of a pager, or the ARN of a queue or function."
  type        = map(object({ protocol = string, endpoint = string }))
  default     = {}
}

variable "deletion_protection" {
  description = "Whether what holds state, and the load balancer, refuse to be destroyed. To take everything down: set it to false, apply, destroy."
  type        = bool
  default     = true
}

variable "client_directory" {
  description = "Where the machines of API servers keep the certificates, for the lines that the outputs give."
  type        = string
  default     = "/etc/kubernetes/pki/tierd"

  validation {
    condition     = startswith(var.client_directory, "/") && !endswith(var.client_directory, "/")
    error_message = "client_directory must be an absolute path without a slash at its end."
  }
}
