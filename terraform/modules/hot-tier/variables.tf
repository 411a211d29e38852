variable "name" {
  description = "Prefix of the names of everything that is made here."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name)) && !strcontains(var.name, "--")
    error_message = "name must be 3 to 24 lower-case letters, digits and single hyphens, begin with a letter and not end with a hyphen."
  }
}

variable "vpc_id" {
  description = "Network in which the shards are."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets, in two zones at least, over which primaries and replicas are spread."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids must name two subnets at least, in different zones: a replica beside its primary is lost with it."
  }
}

variable "client_security_group_ids" {
  description = "Security groups whose members may connect to Redis (frontends, jobs). Nobody else can, whatever the address."
  type        = list(string)
}

variable "engine" {
  description = "memorydb: every write is in a log of several zones before it is acknowledged. elasticache: cheaper, writes are in memory alone, and replica_acks makes tierd wait for a replica."
  type        = string
  default     = "memorydb"
  nullable    = false

  validation {
    condition     = contains(["memorydb", "elasticache"], var.engine)
    error_message = "engine must be memorydb or elasticache."
  }
}

variable "shards" {
  description = "How many Redis the keyspace may use. Each is a cluster of its own, so that what befalls one leaves the others. The first is the home shard."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.shards >= 1 && var.shards <= 64 && floor(var.shards) == var.shards
    error_message = "shards must be a whole number from 1 to 64."
  }
}

variable "draining_shards" {
  description = "How many Redis beyond shards still exist and are being emptied. To go from 4 shards to 3: shards = 3 and draining_shards = 1, and draining_shards = 0 once tierd shard list does not name the fourth any more."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.draining_shards >= 0 && var.draining_shards <= 63 && floor(var.draining_shards) == var.draining_shards
    error_message = "draining_shards must be a whole number from 0 to 63."
  }
}

variable "replicas" {
  description = "Replicas of each shard. With elasticache two are better: while there is none, nothing is written."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.replicas >= 1 && var.replicas <= 5 && floor(var.replicas) == var.replicas
    error_message = "replicas must be a whole number from 1 to 5: without one a zone that fails takes its shards with it."
  }
}

variable "node_type" {
  description = "Size of each node. null: db.r7g.large for memorydb, cache.r7g.large for elasticache, 13 GiB of memory each."
  type        = string
  default     = null

  validation {
    condition     = var.node_type == null || can(regex(var.engine == "memorydb" ? "^db\\.[a-z0-9]+\\.[a-z0-9]+$" : "^cache\\.[a-z0-9]+\\.[a-z0-9]+$", var.node_type))
    error_message = "node_type must be a type of the engine: db.... for memorydb, cache.... for elasticache."
  }
}

variable "user_name" {
  description = "Name of tierd's user in Redis, which is unique in an account and region. null: the value of name."
  type        = string
  default     = null

  validation {
    condition     = var.user_name == null || can(regex("^[a-z][a-z0-9-]{2,39}$", var.user_name)) && var.user_name != "default"
    error_message = "user_name must be 3 to 40 lower-case letters, digits and hyphens, begin with a letter, and not be default."
  }
}

variable "keyspaces" {
  description = "Keyspaces whose keys tierd's user may touch. A * at the end of a name stands for anything: drill is the scratch keyspace of restore drills."
  type        = list(string)
  default     = ["default", "drill"]
  nullable    = false

  validation {
    condition     = length(var.keyspaces) > 0 && alltrue([for keyspace in var.keyspaces : can(regex("^[A-Za-z0-9][A-Za-z0-9._-]*\\*?$", keyspace))])
    error_message = "keyspaces must name one keyspace at least; names are letters, digits, dots, underscores and hyphens, with at most one * at the end."
  }
}

variable "password_generation" {
  description = "Number of the password. One more makes a new one; the one before goes on working until the next, so that frontends change over without an error."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.password_generation >= 1 && floor(var.password_generation) == var.password_generation
    error_message = "password_generation must be a whole number from 1 on."
  }
}

variable "kms_key_arn" {
  description = "Key that encrypts data at rest and the password. null: a key of its own. Its value must be known when planning, so it must be of a key that is not made in the same apply."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key (not of an alias)."
  }
}

variable "snapshot_retention_days" {
  description = "Days for which the service's daily snapshots are kept. They are the second way back: the first is tierd's own archive."
  type        = number
  default     = 7
  nullable    = false

  validation {
    condition     = var.snapshot_retention_days >= 1 && var.snapshot_retention_days <= 35
    error_message = "snapshot_retention_days must be 1 to 35."
  }
}

variable "snapshot_window" {
  description = "Hour of the daily snapshot in UTC, like 03:00-04:00."
  type        = string
  default     = "03:00-04:00"
  nullable    = false

  validation {
    condition     = can(regex("^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$", var.snapshot_window))
    error_message = "snapshot_window must be like 03:00-04:00."
  }
}

variable "maintenance_window" {
  description = "When the service may patch and fail over, in UTC, like sun:05:00-sun:06:00. It must not overlap snapshot_window."
  type        = string
  default     = "sun:05:00-sun:06:00"
  nullable    = false

  validation {
    condition     = can(regex("^(mon|tue|wed|thu|fri|sat|sun):([01][0-9]|2[0-3]):[0-5][0-9]-(mon|tue|wed|thu|fri|sat|sun):([01][0-9]|2[0-3]):[0-5][0-9]$", var.maintenance_window))
    error_message = "maintenance_window must be like sun:05:00-sun:06:00."
  }
}

variable "final_snapshot_suffix" {
  description = "End of the name of the snapshot that a shard leaves when it is destroyed. Change it if one of that name exists already."
  type        = string
  default     = "final"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]+(-[a-z0-9]+)*$", var.final_snapshot_suffix))
    error_message = "final_snapshot_suffix must be lower-case letters, digits and single hyphens."
  }
}

variable "deletion_protection" {
  description = "Refuse to destroy or replace a shard that serves. To take everything down: set it to false, apply, destroy."
  type        = bool
  default     = true
  nullable    = false
}

variable "tags" {
  description = "Tags of everything that is made here."
  type        = map(string)
  default     = {}
  nullable    = false
}
