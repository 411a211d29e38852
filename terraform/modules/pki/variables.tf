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

variable "mode" {
  description = "Who signs: self-managed, where the authority's key is in Secrets Manager, or acm-pca, an authority of ACM Private CA, whose key never leaves AWS."
  type        = string
  default     = "self-managed"

  validation {
    condition     = contains(["self-managed", "acm-pca"], var.mode)
    error_message = "mode must be self-managed or acm-pca."
  }
}

variable "store_prefix" {
  description = "What the names of the secrets begin with; null for NAME/pki."
  type        = string
  default     = null

  validation {
    condition     = var.store_prefix == null || can(regex("^[A-Za-z0-9][A-Za-z0-9/_.-]*[A-Za-z0-9]$", var.store_prefix))
    error_message = "store_prefix must be letters, digits and / _ . - in between."
  }
}

variable "server_names" {
  description = "Names and addresses that the frontends' certificate is for: all by which clients reach the load balancer."
  type        = list(string)

  validation {
    condition     = length(var.server_names) > 0 && alltrue([for n in var.server_names : !strcontains(n, ",") && !strcontains(n, "/") && n != ""])
    error_message = "server_names must be host names or addresses, without https:// and port."
  }
}

variable "clients" {
  description = "Clients that get a certificate, by name, with the common name in it: their user once authentication is on."
  type        = map(string)
  default     = { "kube-apiserver" = "kube-apiserver" }

  validation {
    condition     = alltrue([for n, cn in var.clients : can(regex("^[a-z0-9][a-z0-9-]{0,39}$", n)) && can(regex("^[^,=]{1,64}$", cn))])
    error_message = "clients must be lower case letters, digits and hyphens, with common names of at most 64 characters, without comma and equals sign."
  }
}

variable "validity_hours" {
  description = "How long certificates last. They are renewed after two thirds of that."
  type        = number
  default     = 2160

  validation {
    condition     = var.validity_hours >= 720 && var.validity_hours <= 8760
    error_message = "validity_hours must be from 720, thirty days, to 8760, a year: an alarm is raised a week before the end, and renewal begins when a third is left."
  }
}

variable "authority_validity_years" {
  description = "How long the authority lasts. One that is self-managed is replaced in time, one of ACM Private CA is not."
  type        = number
  default     = 10

  validation {
    condition     = var.authority_validity_years >= 2 && var.authority_validity_years <= 30
    error_message = "authority_validity_years must be from 2 to 30."
  }
}

variable "recovery_window_days" {
  description = "How long a secret that was deleted can be brought back; 0 for not at all."
  type        = number
  default     = 30

  validation {
    condition     = var.recovery_window_days == 0 || (var.recovery_window_days >= 7 && var.recovery_window_days <= 30)
    error_message = "recovery_window_days must be 0, or from 7 to 30."
  }
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
  description = "ECS cluster that the job runs in."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets that the job runs in."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Security groups of the job: it needs Secrets Manager, KMS and CloudWatch Logs, and ACM Private CA where that signs."
  type        = list(string)
}

variable "schedule" {
  description = "When certificates are looked at. By rate, that is also at once, and after each change of names and clients."
  type        = string
  default     = "rate(1 day)"

  validation {
    condition     = can(regex("^rate\\(.+\\)$", var.schedule))
    error_message = "schedule must be a rate: the frontends wait for the first certificates, which a cron expression would leave them without until its time."
  }
}

variable "log_kms_key_arn" {
  description = "KMS key for the log, whose policy lets CloudWatch Logs use it for /tierd/NAME/."
  type        = string
}

variable "log_retention_days" {
  description = "How long the log is kept."
  type        = number
  default     = 365
}
