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

  validation {
    condition     = can(regex("(@sha256:[0-9a-f]{64}|:[A-Za-z0-9_][A-Za-z0-9_.-]*)$", var.image)) && !endswith(var.image, ":latest")
    error_message = "image must name a tag other than latest, or a digest: what runs is to change only when this changes."
  }
}

variable "collector_image" {
  description = "Image of the AWS Distro for OpenTelemetry Collector, which takes metrics to Prometheus and CloudWatch."
  type        = string
  default     = "public.ecr.aws/aws-observability/aws-otel-collector:v0.43.3"

  validation {
    condition     = can(regex("(@sha256:[0-9a-f]{64}|:[A-Za-z0-9_][A-Za-z0-9_.-]*)$", var.collector_image)) && !endswith(var.collector_image, ":latest")
    error_message = "collector_image must name a tag other than latest, or a digest."
  }
}

variable "repository_arns" {
  description = "ECR repositories that the images come from; empty if they are public."
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
  description = "Processor units of a task: 1024 are one core."
  type        = number
  default     = 2048

  validation {
    condition     = contains([512, 1024, 2048, 4096, 8192, 16384], var.cpu)
    error_message = "cpu must be one of 512, 1024, 2048, 4096, 8192, 16384."
  }
}

variable "memory" {
  description = "Memory of a task in MiB, of which its two side containers take 384."
  type        = number
  default     = 4096

  validation {
    condition     = var.memory >= var.cpu * 2 && var.memory <= min(var.cpu * 8, 122880) && var.memory % 1024 == 0
    error_message = "memory must be a multiple of 1024 and 2 to 8 times cpu: Fargate has no other sizes."
  }
}

variable "min_count" {
  description = "Least number of frontends; at least two, so that one may go."
  type        = number
  default     = 2

  validation {
    condition     = var.min_count >= 2 && floor(var.min_count) == var.min_count
    error_message = "min_count must be a whole number of at least 2."
  }
}

variable "max_count" {
  description = "Greatest number of frontends."
  type        = number
  default     = 6

  validation {
    condition     = var.max_count >= var.min_count && floor(var.max_count) == var.max_count
    error_message = "max_count must be a whole number of at least min_count."
  }
}

variable "autoscaling" {
  description = "What a frontend should carry on average: percent of its processor, calls per second, and open streams (watches, keep-alives). Any of them adds frontends, all of them must be below for some to go. The cooldowns are in seconds."
  type = object({
    cpu_percent         = optional(number, 60)
    requests_per_second = optional(number, 5000)
    open_streams        = optional(number, 10000)
    scale_in_cooldown   = optional(number, 600)
    scale_out_cooldown  = optional(number, 60)
  })
  default = {}

  validation {
    condition     = var.autoscaling.cpu_percent >= 10 && var.autoscaling.cpu_percent <= 90
    error_message = "autoscaling.cpu_percent must be from 10 to 90: above, a frontend has nothing left for the clients of one that goes."
  }

  validation {
    condition     = var.autoscaling.requests_per_second >= 1 && var.autoscaling.open_streams >= 1
    error_message = "autoscaling.requests_per_second and autoscaling.open_streams must be at least 1."
  }

  validation {
    condition     = var.autoscaling.scale_in_cooldown >= 60 && var.autoscaling.scale_out_cooldown >= 0
    error_message = "autoscaling.scale_in_cooldown must be at least 60 seconds, scale_out_cooldown at least 0."
  }
}

variable "vpc_id" {
  description = "VPC of the frontends and of the load balancer."
  type        = string
}

variable "vpc_cidr" {
  description = "Addresses of the VPC, in which the hot tier and the endpoints of AWS services are."
  type        = string

  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0))
    error_message = "vpc_cidr must be a block such as 10.0.0.0/16."
  }
}

variable "subnet_ids" {
  description = "Private subnets, one for each availability zone."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids must be of at least two availability zones."
  }
}

variable "load_balancer_subnet_ids" {
  description = "Subnets of the load balancer; empty for subnet_ids. A load balancer that is not internal needs public ones."
  type        = list(string)
  default     = []
}

variable "s3_prefix_list_id" {
  description = "Prefix list of S3, which is reached by a gateway endpoint."
  type        = string
}

variable "client_cidrs" {
  description = "Who may connect to the load balancer: blocks of addresses. Mutual TLS holds in any case."
  type        = list(string)

  validation {
    condition     = length(var.client_cidrs) > 0 && alltrue([for c in var.client_cidrs : can(cidrhost(c, 0)) && c != "0.0.0.0/0"])
    error_message = "client_cidrs must be blocks such as 10.0.0.0/16, and not 0.0.0.0/0: name who connects."
  }
}

variable "internal" {
  description = "Whether the load balancer has private addresses only."
  type        = bool
  default     = true
}

variable "endpoint_name" {
  description = "Name by which clients reach the load balancer, which the server's certificate must then have; null for the load balancer's own."
  type        = string
  default     = null
}

variable "dns_zone_id" {
  description = "Route 53 zone in which endpoint_name is made; null if you make it elsewhere."
  type        = string
  default     = null

  validation {
    condition     = var.dns_zone_id == null || var.endpoint_name != null
    error_message = "dns_zone_id needs endpoint_name."
  }
}

variable "deletion_protection" {
  description = "Whether the load balancer refuses to be deleted. Its name is in the configuration of every client."
  type        = bool
  default     = true
}

variable "preserve_client_ip" {
  description = "Whether tierd sees the addresses of clients rather than the load balancer's: in the audit log, and for max-connections-per-address. Not possible for clients that come by PrivateLink."
  type        = bool
  default     = true
}

variable "idle_seconds" {
  description = "How long the load balancer keeps a connection on which nothing moves. Frontends ping clients four times as often."
  type        = number
  default     = 350

  validation {
    condition     = var.idle_seconds >= 120 && var.idle_seconds <= 6000
    error_message = "idle_seconds must be from 120 to 6000."
  }
}

variable "deregistration_seconds" {
  description = "How long a frontend that is to go is still served with the connections it has, before it is told to stop: the time in which the load balancer's nodes learn to send it no new ones."
  type        = number
  default     = 120

  validation {
    condition     = var.deregistration_seconds >= 30 && var.deregistration_seconds <= 600
    error_message = "deregistration_seconds must be from 30 to 600."
  }
}

variable "drain_seconds" {
  description = "How long a frontend that was told to stop may take, before it is killed. It gives its clients 15 seconds, and each of its parts 10 to close."
  type        = number
  default     = 90

  validation {
    condition     = var.drain_seconds >= 45 && var.drain_seconds <= 120
    error_message = "drain_seconds must be from 45, which tierd may need, to 120, which is Fargate's most."
  }
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

variable "hot_tier_url" {
  description = "The home shard: rediss:// with the user and without a password."
  type        = string

  validation {
    condition     = can(regex("^rediss(\\+cluster)?://[^:@/]+@[^@/]+$", var.hot_tier_url))
    error_message = "hot_tier_url must be rediss://USER@HOST:PORT without a password, which belongs into hot_tier_password_secret_arn."
  }
}

variable "hot_tier_port" {
  description = "Port of all shards."
  type        = number
  default     = 6379
}

variable "hot_tier_password_secret_arn" {
  description = "Secret with the password of the hot tier's user; ARN:KEY:: for one key of a secret in JSON."
  type        = string

  validation {
    condition     = length(split(":", var.hot_tier_password_secret_arn)) >= 7
    error_message = "hot_tier_password_secret_arn must be the ARN of a secret."
  }
}

variable "hot_tier_password_kms_key_arn" {
  description = "KMS key of that secret; null for AWS' own."
  type        = string
  default     = null
}

variable "replica_acks" {
  description = "Replicas of each shard that must have what a client is told: 0 with MemoryDB, whose log is durable, 1 with ElastiCache."
  type        = number

  validation {
    condition     = var.replica_acks >= 0 && var.replica_acks <= 5
    error_message = "replica_acks must be from 0 to 5."
  }
}

variable "object_tier" {
  description = "Where the archive lives: the URL as tierd takes it, its bucket, the key that S3 encrypts with, and the master key of the archive."
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

variable "pki" {
  description = "Where certificates are, as module pki has them: store, the secrets of the authorities and of the server's certificate, and their KMS key."
  type = object({
    store             = string
    ca_secret_arn     = string
    server_secret_arn = string
    kms_key_arn       = string
  })

  validation {
    condition     = startswith(var.pki.store, "secretsmanager://")
    error_message = "pki.store must be secretsmanager://PREFIX?region=..."
  }
}

variable "settings" {
  description = "More settings of tierd serve by their variables, such as TIERD_QUOTA_BACKEND_BYTES."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for k in keys(var.settings) : can(regex("^TIERD_[A-Z0-9_]+$", k))])
    error_message = "settings must be variables that start with TIERD_."
  }

  validation {
    condition     = length([for k in keys(var.settings) : k if strcontains(k, "PASSWORD")]) == 0
    error_message = "settings must hold no password: anybody who sees the task definition reads them."
  }
}

variable "remote_write_url" {
  description = "Where metrics go to: remote_write of a workspace of Amazon Managed Service for Prometheus."
  type        = string
}

variable "workspace_arn" {
  description = "That workspace."
  type        = string
}

variable "kms_key_arn" {
  description = "KMS key for the logs, whose policy lets CloudWatch Logs use it; null to have one made."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 90

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of those that CloudWatch Logs knows, such as 30, 90 or 365."
  }
}

variable "wait_for_steady_state" {
  description = "Whether an apply waits until the new frontends serve, and fails if they were rolled back."
  type        = bool
  default     = true
}
