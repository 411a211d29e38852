# What frontends run, the frontends, and the load balancer before them.

locals {
  endpoint = "https://${var.address}:${local.ports.clients}"

  settings = merge(
    {
      TIERD_KEYSPACE               = var.keyspace
      TIERD_HOT_TIER               = local.endpoints["1"]
      TIERD_HOT_TIER_PASSWORD_FILE = "${local.directory}/secrets/redis-tierd"
      TIERD_REPLICA_ACKS           = "1"
      TIERD_OBJECT_TIER            = "s3://archive/keyspaces?region=us-east-1&endpoint=http://127.0.0.1:${local.ports.s3}&path-style=true"
      TIERD_ARCHIVE_KEY_FILE       = "${local.directory}/secrets/archive.key"
      TIERD_ADVERTISE_CLIENT_URLS  = local.endpoint
      TIERD_CERT_FILE              = "${local.directory}/pki/server.crt"
      TIERD_KEY_FILE               = "${local.directory}/pki/server.key"
      TIERD_TRUSTED_CA_FILE        = "${local.directory}/pki/ca.crt"
      TIERD_CLIENT_CERT_AUTH       = "true"
      AWS_ACCESS_KEY_ID            = "tierd"
      AWS_EC2_METADATA_DISABLED    = "true"
    },
    { for name, value in var.settings : "TIERD_${upper(replace(name, "-", "_"))}" => value },
  )
}

# Frontends that start take it. Those that run do so in the rollout.
resource "terraform_data" "release" {
  # A deployment can be destroyed without it.
  triggers_replace = [try(filesha256(local.binary), null), local.settings]
  depends_on       = [terraform_data.scripts]

  lifecycle {
    precondition {
      condition     = fileexists(local.binary)
      error_message = "There is no tierd at ${local.binary}: run make build, or name one as tierd_binary."
    }
  }

  provisioner "local-exec" {
    command = "${local.deployed}/release.sh"
    environment = {
      DIRECTORY = local.directory
      BINARY    = local.binary
      SETTINGS  = join("\n", [for name, value in local.settings : "${name}=${value}"])
    }
  }
}

resource "terraform_data" "certificates" {
  triggers_replace = [local.boot, var.address]
  input = {
    directory = local.directory
    scripts   = local.deployed
    names     = join(",", distinct(["localhost", "127.0.0.1", var.address]))
  }
  depends_on = [terraform_data.release]

  provisioner "local-exec" {
    command     = "${self.input.scripts}/certificates.sh start"
    environment = { DIRECTORY = self.input.directory, SERVER_NAMES = self.input.names }
  }

  provisioner "local-exec" {
    when        = destroy
    command     = "${self.input.scripts}/certificates.sh stop"
    environment = { DIRECTORY = self.input.directory }
  }
}

resource "terraform_data" "load_balancer" {
  triggers_replace = [local.boot, var.address]
  input = {
    directory = local.directory
    scripts   = local.deployed
    address   = var.address
    port      = tostring(local.ports.clients)
    status    = tostring(local.ports.status)
  }
  depends_on = [terraform_data.programs]

  provisioner "local-exec" {
    command = "${self.input.scripts}/balancer.sh start"
    environment = {
      DIRECTORY = self.input.directory, ADDRESS = self.input.address, PORT = self.input.port, STATUS_PORT = self.input.status
    }
  }

  provisioner "local-exec" {
    when        = destroy
    command     = "${self.input.scripts}/balancer.sh stop"
    environment = { DIRECTORY = self.input.directory }
  }
}

resource "terraform_data" "frontend" {
  for_each = toset([for i in range(var.frontends) : tostring(i + 1)])

  triggers_replace = [local.boot]
  input = {
    directory = local.directory
    scripts   = local.deployed
    name      = "frontend-${each.key}"
    port      = tostring(local.ports.frontends[tonumber(each.key) - 1].client)
    health    = tostring(local.ports.frontends[tonumber(each.key) - 1].health)
  }
  depends_on = [
    terraform_data.release, terraform_data.certificates, terraform_data.load_balancer, terraform_data.s3, terraform_data.endpoint,
    terraform_data.redis_memory,
  ]

  provisioner "local-exec" {
    command = "${self.input.scripts}/frontend.sh start"
    environment = {
      DIRECTORY = self.input.directory, NAME = self.input.name, PORT = self.input.port, HEALTH_PORT = self.input.health
    }
  }

  provisioner "local-exec" {
    when    = destroy
    command = "${self.input.scripts}/frontend.sh stop"
    environment = {
      DIRECTORY = self.input.directory, NAME = self.input.name, PORT = self.input.port, HEALTH_PORT = self.input.health
    }
  }
}

# One frontend after the other.
resource "terraform_data" "rollout" {
  triggers_replace = [terraform_data.release.id]
  depends_on       = [terraform_data.frontend]

  provisioner "local-exec" {
    command     = "${local.deployed}/frontend.sh roll"
    environment = { DIRECTORY = local.directory }
  }
}
