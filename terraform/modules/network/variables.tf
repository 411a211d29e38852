variable "name" {
  description = "Prefix of the names of everything that is made here."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name)) && !strcontains(var.name, "--")
    error_message = "name must be 3 to 24 lower-case letters, digits and single hyphens, begin with a letter and not end with a hyphen."
  }
}

variable "cidr" {
  description = "IPv4 addresses of the network, /16 to /24. Each subnet takes a sixteenth of them."
  type        = string
  default     = "10.64.0.0/16"
  nullable    = false

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && try(cidrhost(var.cidr, 0) == split("/", var.cidr)[0], false)
    error_message = "cidr must be an IPv4 network in CIDR notation, like 10.64.0.0/16."
  }

  validation {
    condition     = try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 24, false)
    error_message = "cidr must be between /16 and /24: AWS takes no larger network, and smaller ones leave no room for subnets."
  }
}

variable "availability_zones" {
  description = "Availability zones, by name, each of which gets a private subnet. Two at least: what is in one zone ends with it."
  type        = list(string)

  validation {
    condition     = length(var.availability_zones) >= 2 && length(var.availability_zones) <= 6
    error_message = "availability_zones must name 2 to 6 zones."
  }

  validation {
    condition     = length(distinct(var.availability_zones)) == length(var.availability_zones)
    error_message = "availability_zones must not name a zone twice."
  }
}

variable "endpoint_client_security_group_ids" {
  description = "Security groups whose members may call AWS through the interface endpoints (frontends, jobs). Nobody else can, whatever the address."
  type        = list(string)
}

variable "interface_endpoints" {
  description = "AWS services that are reached through interface endpoints. Each costs by the hour and zone. Add acm-pca for certificates of ACM Private CA, monitoring for CloudWatch metrics that are not sent as logs, sts for tasks that assume other roles."
  type        = set(string)
  default     = ["ecr.api", "ecr.dkr", "secretsmanager", "kms", "logs", "aps-workspaces"]
  nullable    = false

  validation {
    condition     = length(setsubtract(var.interface_endpoints, ["ecr.api", "ecr.dkr", "secretsmanager", "kms", "logs", "monitoring", "aps-workspaces", "sts", "acm-pca"])) == 0
    error_message = "interface_endpoints may name ecr.api, ecr.dkr, secretsmanager, kms, logs, monitoring, aps-workspaces, sts and acm-pca: these have a policy here."
  }

  validation {
    condition     = length(setsubtract(["ecr.api", "ecr.dkr", "secretsmanager", "kms", "logs"], var.interface_endpoints)) == 0
    error_message = "interface_endpoints must name ecr.api, ecr.dkr, secretsmanager, kms and logs: without them no frontend starts, as there is no way to the internet."
  }
}

variable "s3_bucket_arns" {
  description = "ARNs of the buckets that may be reached through the S3 endpoint, beside that of ECR's image layers. Empty: any bucket of this account."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.s3_bucket_arns : !endswith(arn, "*") && !strcontains(arn, "/")])
    error_message = "s3_bucket_arns must be ARNs of buckets, without a path or a wildcard."
  }
}

variable "public_subnets" {
  description = "Whether to make public subnets and an internet gateway, for a load balancer that the internet reaches. Private subnets have no way there either way."
  type        = bool
  default     = false
  nullable    = false
}

variable "flow_log_retention_days" {
  description = "Days for which the log of accepted and refused connections is kept."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.flow_log_retention_days)
    error_message = "flow_log_retention_days must be a number of days that CloudWatch Logs knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, ..."
  }
}

variable "tags" {
  description = "Tags of everything that is made here."
  type        = map(string)
  default     = {}
  nullable    = false
}
