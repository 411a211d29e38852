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

variable "alarm_emails" {
  description = "Who is told of alarms by mail. AWS asks each of them once whether they agree."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for e in var.alarm_emails : can(regex("^[^@ ]+@[^@ ]+$", e))])
    error_message = "alarm_emails must be mail addresses."
  }
}

variable "alarm_subscriptions" {
  description = "Who else is told, by name: an https address, such as that of a pager, or the ARN of a queue or function."
  type = map(object({
    protocol = string
    endpoint = string
  }))
  default = {}

  validation {
    condition     = alltrue([for s in values(var.alarm_subscriptions) : contains(["https", "sqs", "lambda"], s.protocol)])
    error_message = "alarm_subscriptions must have the protocol https, sqs or lambda; for mail there is alarm_emails."
  }
}

variable "runbook_base_url" {
  description = "Where docs/runbooks.md is, without the anchor: alarms link to it."
  type        = string
  default     = "https://github.com/tierd/tierd/blob/main/docs/runbooks.md"

  validation {
    condition     = startswith(var.runbook_base_url, "https://")
    error_message = "runbook_base_url must begin with https://."
  }
}

variable "cluster_arn" {
  description = "ECS cluster of frontends and jobs."
  type        = string
}

variable "cluster_name" {
  description = "Its name."
  type        = string
}

variable "service_name" {
  description = "ECS service of the frontends."
  type        = string
}

variable "min_count" {
  description = "Least number of frontends: fewer raise an alarm."
  type        = number
}

variable "max_count" {
  description = "Greatest number of frontends: as many for half an hour raise an alarm."
  type        = number
}

variable "load_balancer_arn_suffix" {
  description = "The load balancer in CloudWatch's dimensions."
  type        = string
}

variable "target_group_arn_suffix" {
  description = "The target group in CloudWatch's dimensions."
  type        = string
}

variable "engine" {
  description = "What the shards are: memorydb or elasticache."
  type        = string
  default     = "memorydb"

  validation {
    condition     = contains(["memorydb", "elasticache"], var.engine)
    error_message = "engine must be memorydb or elasticache."
  }
}

variable "hot_tier_cluster_names" {
  description = "Names of the shards' clusters, or replication groups."
  type        = list(string)

  validation {
    condition     = length(var.hot_tier_cluster_names) > 0
    error_message = "hot_tier_cluster_names must not be empty."
  }
}

variable "hot_tier_replicas" {
  description = "Replicas of each shard; with elasticache each node has alarms of its own."
  type        = number
  default     = 1
}

variable "shard_memory_percent" {
  description = "Memory of a shard, in percent, above which there is an alarm. The balancer moves ranges off from 60 on."
  type        = number
  default     = 75

  validation {
    condition     = var.shard_memory_percent > 60 && var.shard_memory_percent <= 90
    error_message = "shard_memory_percent must be above 60, where the balancer begins, and at most 90: at 100 nothing is written."
  }
}

variable "dead_letter_queue_names" {
  description = "Queues for jobs that could not be started, by module."
  type        = map(string)
  default     = {}
}
