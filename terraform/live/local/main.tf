# A deployment on one machine. Every process is a terraform_data of its own, whose
# provisioners start and stop it; what they need when it is stopped is in its input, for then
# nothing else can be asked.

locals {
  directory  = abspath(var.directory)
  repository = abspath("${path.module}/../../..")
  scripts    = abspath("${path.module}/scripts")
  deployed   = "${local.directory}/scripts"
  binary     = var.tierd_binary == null ? "${local.repository}/bin/tierd" : abspath(var.tierd_binary)

  # After a restart of the machine nothing runs any more of what the state speaks of.
  boot = fileexists("/proc/sys/kernel/random/boot_id") ? trimspace(file("/proc/sys/kernel/random/boot_id")) : ""

  # Each number of a shard, a member or a frontend has its ports, whatever else there is.
  ports = {
    clients   = var.first_port
    s3        = var.first_port + 1
    sentinels = [for i in range(3) : var.first_port + 2 + i]
    status    = var.first_port + 5
    frontends = [for i in range(16) : { client = var.first_port + 10 + 2 * i, health = var.first_port + 11 + 2 * i }]
    redis     = [for s in range(12) : [for m in range(4) : var.first_port + 50 + 4 * s + m]]
  }

  # Until a deployment is destroyed, these are what it was made with.
  made = try(jsondecode(file("${local.directory}/.tierd-local")), null)
}

resource "terraform_data" "directory" {
  input = {
    directory = local.directory
    scripts   = local.scripts
  }

  lifecycle {
    precondition {
      condition     = local.made == null || try(local.made.first_port == var.first_port && local.made.keyspace == var.keyspace, false)
      error_message = "The deployment in ${local.directory} has another first_port or keyspace, and neither can be changed: run terraform destroy first, or choose another directory and state."
    }
  }

  provisioner "local-exec" {
    command = "${local.scripts}/deployment.sh create"
    environment = {
      DIRECTORY  = local.directory
      FIRST_PORT = var.first_port
      KEYSPACE   = var.keyspace
      SENTINELS  = join(" ", local.ports.sentinels)
      RIGHTS     = "${local.repository}/deploy/redis"
    }
  }

  provisioner "local-exec" {
    when        = destroy
    command     = "${self.input.scripts}/deployment.sh destroy"
    environment = { DIRECTORY = self.input.directory }
  }
}

# What runs does so from a copy: it goes on while this repository changes, and can be stopped without it.
resource "terraform_data" "scripts" {
  triggers_replace = [{ for name in fileset(local.scripts, "*.sh") : name => filesha256("${local.scripts}/${name}") }]
  depends_on       = [terraform_data.directory]

  provisioner "local-exec" {
    command     = "${local.scripts}/deployment.sh scripts"
    environment = { DIRECTORY = local.directory }
  }
}

resource "terraform_data" "programs" {
  triggers_replace = [var.redis_server, var.s3_server]
  depends_on       = [terraform_data.scripts]

  lifecycle {
    precondition {
      condition     = alltrue([for path in [var.redis_server, var.s3_server] : path == null || try(fileexists(path), false)])
      error_message = "There is no such file as redis_server or s3_server names."
    }
  }

  provisioner "local-exec" {
    command = "${local.deployed}/programs.sh"
    environment = {
      DIRECTORY    = local.directory
      REPOSITORY   = local.repository
      REDIS_SERVER = var.redis_server == null ? "" : abspath(var.redis_server)
      S3_SERVER    = var.s3_server == null ? "" : abspath(var.s3_server)
    }
  }
}
