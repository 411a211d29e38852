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

variable "job" {
  description = "Name of the job, which follows the prefix."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z-]{1,19}$", var.job))
    error_message = "job must be 2 to 20 lower case letters and hyphens."
  }
}

variable "description" {
  description = "What the job does, for people."
  type        = string
}

variable "image" {
  description = "Image of tierd, by tag or better by digest."
  type        = string

  validation {
    condition     = can(regex("(@sha256:[0-9a-f]{64}|:[A-Za-z0-9_][A-Za-z0-9_.-]*)$", var.image)) && !endswith(var.image, ":latest")
    error_message = "image must name a tag other than latest, or a digest: what runs is to change only when this changes."
  }
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

  validation {
    condition     = contains(["X86_64", "ARM64"], var.cpu_architecture)
    error_message = "cpu_architecture must be X86_64 or ARM64."
  }
}

variable "cpu" {
  description = "Processor units: 1024 are one core."
  type        = number
  default     = 256

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096], var.cpu)
    error_message = "cpu must be one of 256, 512, 1024, 2048, 4096."
  }
}

variable "memory" {
  description = "Memory in MiB."
  type        = number
  default     = 512

  validation {
    condition     = var.memory >= var.cpu * 2 && var.memory <= var.cpu * 8 && (var.memory == 512 || var.memory % 1024 == 0)
    error_message = "memory must be 512, or a multiple of 1024, and 2 to 8 times cpu: Fargate has no other sizes."
  }
}

variable "command" {
  description = "What tierd is told to do: its arguments."
  type        = list(string)

  validation {
    condition     = length(var.command) > 0
    error_message = "command must not be empty: tierd would print its help."
  }
}

variable "environment" {
  description = "Variables of the job, none of them secret."
  type        = map(string)
  default     = {}

  validation {
    condition     = length([for k in keys(var.environment) : k if strcontains(k, "PASSWORD")]) == 0
    error_message = "environment must hold no password: use secrets."
  }
}

variable "secrets" {
  description = "Variables of the job by the ARNs of the secrets that hold them; ARN:KEY:: for one key of a secret in JSON."
  type        = map(string)
  default     = {}
}

variable "secret_kms_key_arns" {
  description = "KMS keys of those secrets, other than AWS' own."
  type        = list(string)
  default     = []
}

variable "policy" {
  description = "What the job may do: an IAM policy in JSON."
  type        = string

  validation {
    condition     = can(jsondecode(var.policy).Statement)
    error_message = "policy must be an IAM policy in JSON."
  }
}

variable "cluster_arn" {
  description = "ECS cluster that the job runs in."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets that the job runs in."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "subnet_ids must not be empty."
  }
}

variable "security_group_ids" {
  description = "Security groups of the job: those which may reach what it needs."
  type        = list(string)

  validation {
    condition     = length(var.security_group_ids) > 0
    error_message = "security_group_ids must not be empty."
  }
}

variable "schedule" {
  description = "When the job runs: cron(...) in UTC, or rate(...), which runs at once when it is made, and again when command or environment change."
  type        = string

  validation {
    condition     = can(regex("^(cron|rate)\\(.+\\)$", var.schedule))
    error_message = "schedule must be such as rate(1 day) or cron(15 3 * * ? *)."
  }
}

variable "enabled" {
  description = "Whether the job runs."
  type        = bool
  default     = true
}

variable "log_group" {
  description = "Log group of the job: its name and ARN."
  type = object({
    name = string
    arn  = string
  })
}

variable "dead_letter_queue_arn" {
  description = "Queue for what could not be started."
  type        = string
}
