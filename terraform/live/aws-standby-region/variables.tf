variable "name" {
  description = "Prefix of the names of everything that is made here."
  type        = string
  default     = "tierd-standby"
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

variable "cidr" {
  description = "Addresses of the network. They must not overlap those of the primary region."
  type        = string
  default     = "10.65.0.0/16"
}

variable "deletion_protection" {
  description = "Whether what holds state refuses to be destroyed. To take everything down: set it to false, apply, destroy."
  type        = bool
  default     = true
}

variable "availability_zones" {
  description = "Two zones of this region at least."
  type        = list(string)
}

variable "primary" {
  description = "The deployment in the primary region: the master key of its archive, of which a replica is made here (output archive, kms_key_arn)."
  type        = object({ archive_kms_key_arn = string })
}

variable "keyspace" {
  description = "Name of the keyspace, as in the primary region."
  type        = string
  default     = "default"
}

variable "shards" {
  description = "How many Redis there are to restore to."
  type        = number
  default     = 1
}

variable "replicas" {
  description = "Replicas of each."
  type        = number
  default     = 1
}

variable "node_type" {
  description = "Size of their nodes: the keyspace has to fit, and beside it the drill's copy of it. null: db.r7g.large, 13 GiB."
  type        = string
  default     = null
}

variable "noncurrent_days" {
  description = "Days for which an object that was deleted or overwritten in the primary region can be brought back here."
  type        = number
  default     = 30
}

variable "schedules" {
  description = "When the copy is checked, and when it is restored to a scratch keyspace and compared, in UTC."
  type = object({
    verify = optional(string, "cron(45 2 * * ? *)")
    drill  = optional(string, "cron(45 5 * * ? *)")
  })
  default = {}
}

variable "alarm_emails" {
  description = "Who is told of a job that failed. Each address gets a message that it has to confirm."
  type        = list(string)
  default     = []
}
