variable "directory" {
  description = "Where everything of the deployment lives. Made by apply, and removed with all that is in it by destroy; must be empty or missing before. Relative to the working folder."
  type        = string
  default     = ".deployment"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9._/-]{1,70}$", var.directory)) && !contains(["/", ".", ".."], var.directory)
    error_message = "The directory must be a path of at most 70 letters, digits, dots, dashes, underscores and slashes (sockets in it have short names), and neither the root nor the working folder."
  }
}

variable "address" {
  description = "IP address that the load balancer listens on and that clients are told. Everything else is reached on 127.0.0.1 alone."
  type        = string
  default     = "127.0.0.1"
  nullable    = false

  validation {
    condition     = can(cidrnetmask("${var.address}/32")) && var.address != "0.0.0.0"
    error_message = "The address must be an IPv4 address of this machine, which clients can be told."
  }
}

variable "first_port" {
  description = "First of the 120 consecutive TCP ports that the deployment uses; the load balancer listens on it. Cannot be changed later."
  type        = number
  default     = 23790
  nullable    = false

  validation {
    condition     = var.first_port >= 1024 && var.first_port <= 65400 && floor(var.first_port) == var.first_port
    error_message = "The first port must be a whole number from 1024 to 65400."
  }
}

variable "keyspace" {
  description = "Name of the keyspace that is served. Cannot be changed later."
  type        = string
  default     = "default"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,30}$", var.keyspace))
    error_message = "The keyspace must be 1 to 31 lower case letters, digits and dashes, and not begin with a dash."
  }
}

variable "shards" {
  description = "Number of endpoints (a Redis primary with its replicas each) that the keyspace may lie on. With fewer than before, those with the highest numbers are emptied, and then stopped."
  type        = number
  default     = 3
  nullable    = false

  validation {
    condition     = var.shards >= 1 && var.shards <= 12 && floor(var.shards) == var.shards
    error_message = "There must be 1 to 12 shards."
  }
}

variable "replicas" {
  description = "Replicas of each Redis primary. One of them has what a client is told before it is told."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = contains([1, 2, 3], var.replicas)
    error_message = "There must be 1 to 3 replicas of each Redis: with none, no acknowledged write would outlive its machine."
  }
}

variable "frontends" {
  description = "Number of frontends behind the load balancer."
  type        = number
  default     = 2
  nullable    = false

  validation {
    condition     = var.frontends >= 1 && var.frontends <= 16 && floor(var.frontends) == var.frontends
    error_message = "There must be 1 to 16 frontends."
  }
}

variable "redis_memory_mib" {
  description = "Memory that each Redis may take, in MiB (maxmemory)."
  type        = number
  default     = 256
  nullable    = false

  validation {
    condition     = var.redis_memory_mib >= 16 && floor(var.redis_memory_mib) == var.redis_memory_mib
    error_message = "A Redis needs at least 16 MiB, in whole MiB."
  }
}

variable "settings" {
  description = "Further settings of tierd serve by the names of its flags, such as { auto-compaction-retention = \"5m\" }. A change restarts the frontends one after the other."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^[a-z][a-z0-9-]*$", name)) && can(regex("^[^\n]*$", value))])
    error_message = "Settings are named as the flags of tierd serve, without the dashes before them, and have values of one line."
  }

  validation {
    condition = length(setintersection(keys(var.settings), [
      "name", "data-dir", "keyspace", "hot-tier", "hot-tier-password-file", "replica-acks", "object-tier", "archive-key-file",
      "listen-client-urls", "advertise-client-urls", "listen-metrics-urls", "cert-file", "key-file", "trusted-ca-file", "client-cert-auth",
    ])) == 0
    error_message = "The name, the addresses, the tiers, the archive's key and the certificates are this configuration's to set."
  }
}

variable "tierd_binary" {
  description = "The tierd to run; null for bin/tierd of this repository (make build). Frontends are restarted one after the other when its content changes."
  type        = string
  default     = null

  validation {
    condition     = var.tierd_binary != ""
    error_message = "The path must not be empty: null stands for the default."
  }
}

variable "redis_server" {
  description = "The redis-server (7 or newer) or valkey-server (8 or newer) to run; null for the system's, which is installed if it is missing."
  type        = string
  default     = null

  validation {
    condition     = var.redis_server != ""
    error_message = "The path must not be empty: null stands for the default."
  }
}

variable "s3_server" {
  description = "The versitygw to run; null for the one that make objectstore builds."
  type        = string
  default     = null

  validation {
    condition     = var.s3_server != ""
    error_message = "The path must not be empty: null stands for the default."
  }
}
