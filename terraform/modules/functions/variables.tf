variable "name" {
  description = "Prefix of the names of everything here."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,20}[a-z0-9]$", var.name))
    error_message = "name must be 2 to 22 lower case letters, digits and hyphens, beginning with a letter and not ending with a hyphen."
  }
}

variable "tags" {
  description = "Tags of everything here."
  type        = map(string)
  default     = {}
}

variable "image" {
  description = "Image of tierd, by tag or better by digest."
  type        = string
}

variable "repository_arns" {
  description = "ECR repositories that the image comes from; empty if it is public."
  type        = list(string)
  default     = []
}

variable "cpu_architecture" {
  description = "Processor that the image is for: X86_64 or ARM64."
  type        = string
  default     = "X86_64"
}

variable "cluster_arn" {
  description = "ECS cluster that the jobs run in."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets that the jobs run in."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Security groups of the jobs: they need the hot tier, S3 and the endpoints of AWS services, as the frontends do."
  type        = list(string)
}

variable "keyspace" {
  description = "Name of the keyspace."
  type        = string
  default     = "default"

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,62}$", var.keyspace))
    error_message = "keyspace must be lower case letters, digits and hyphens."
  }
}

variable "endpoints" {
  description = "The shards, the home shard first: rediss:// with the user and without a password. The job shard-apply brings the keyspace to this list."
  type        = list(string)

  validation {
    condition     = length(var.endpoints) > 0 && alltrue([for e in var.endpoints : can(regex("^rediss(\\+cluster)?://[^:@/]+@[^@/]+$", e))])
    error_message = "endpoints must be rediss://USER@HOST:PORT, without passwords."
  }

  validation {
    condition     = length(var.endpoints) == length(distinct(var.endpoints))
    error_message = "endpoints must not name one twice."
  }
}

variable "hot_tier_password_secret_arn" {
  description = "Secret with the password of the hot tier's user; ARN:KEY:: for one key of a secret in JSON."
  type        = string
}

variable "hot_tier_password_kms_key_arn" {
  description = "KMS key of that secret; null for AWS' own."
  type        = string
  default     = null
}

variable "replica_acks" {
  description = "As the frontends have it."
  type        = number
}

variable "object_tier" {
  description = "Where the archive lives, as the frontends have it."
  type = object({
    url                 = string
    bucket_arn          = string
    kms_key_arn         = string
    archive_kms_key_arn = string
  })

  validation {
    condition     = can(regex("^s3://[^/?]+/[^/?]+", var.object_tier.url))
    error_message = "object_tier.url must be s3://BUCKET/PREFIX?region=..., with a prefix: the roles may touch nothing outside of it."
  }
}

variable "jobs" {
  description = "Which jobs there are: a region that only keeps a copy of the archive verifies it and restores it, and changes nothing."
  type        = set(string)
  default     = ["shard-apply", "archive-verify", "archive-prune", "restore-drill"]

  validation {
    condition     = length(var.jobs) > 0 && length(setsubtract(var.jobs, ["shard-apply", "archive-verify", "archive-prune", "restore-drill"])) == 0
    error_message = "jobs must be some of shard-apply, archive-verify, archive-prune and restore-drill."
  }
}

variable "schedules" {
  description = "When the jobs run, in UTC. Verify before prune: what is removed was found whole."
  type = object({
    shard_apply    = optional(string, "rate(5 minutes)")
    archive_verify = optional(string, "cron(15 2 * * ? *)")
    archive_prune  = optional(string, "cron(15 4 * * ? *)")
    restore_drill  = optional(string, "cron(15 5 ? * SUN *)")
  })
  default = {}

  validation {
    condition     = alltrue([for s in values(var.schedules) : can(regex("^(cron|rate)\\(.+\\)$", s))])
    error_message = "schedules must be such as rate(5 minutes) or cron(15 2 * * ? *)."
  }
}

variable "keep" {
  description = "What the job archive-prune leaves: every moment of age, and of what is older the newest snapshot of so many days and weeks."
  type = object({
    age    = optional(string, "30d")
    daily  = optional(number, 90)
    weekly = optional(number, 52)
  })
  default = {}

  validation {
    condition     = can(regex("^[1-9][0-9]*[dh]$", var.keep.age))
    error_message = "keep.age must be such as 30d or 72h."
  }

  validation {
    condition     = var.keep.daily >= 0 && var.keep.weekly >= 0
    error_message = "keep.daily and keep.weekly must not be negative."
  }
}

variable "drill_hot_tier_url" {
  description = "Where the restore drill brings the archive to, into the keyspace drill, which it removes again. It needs room for the whole keyspace. null: the last of endpoints."
  type        = string
  default     = null
}

variable "drill_keyspace" {
  description = "Name of the keyspace that the restore drill makes and removes; the hot tier's user must be allowed it."
  type        = string
  default     = "drill"

  validation {
    condition     = var.drill_keyspace != var.keyspace && can(regex("^[a-z0-9][a-z0-9-]{0,62}$", var.drill_keyspace))
    error_message = "drill_keyspace must be lower case letters, digits and hyphens, and not the keyspace that is served."
  }
}

variable "archive_job_size" {
  description = "Processor units and MiB of the jobs that read the archive."
  type = object({
    cpu    = optional(number, 1024)
    memory = optional(number, 2048)
  })
  default = {}
}

variable "log_kms_key_arn" {
  description = "KMS key for the logs, whose policy lets CloudWatch Logs use it for /tierd/NAME/."
  type        = string
}

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 365
}
