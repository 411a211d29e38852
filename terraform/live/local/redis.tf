# The hot tier: each endpoint is a primary with replicas, which three Sentinels watch.

locals {
  members = merge([
    for s in range(var.shards) : {
      for m in range(var.replicas + 1) : "${s + 1}-${m + 1}" => {
        shard  = tostring(s + 1)
        member = tostring(m + 1)
        port   = tostring(local.ports.redis[s][m])
        first  = tostring(local.ports.redis[s][0])
      }
    }
  ]...)

  # As tierd takes them; the password is in a file.
  endpoints = {
    for s in range(var.shards) : tostring(s + 1) => join("", [
      "redis://tierd@127.0.0.1:${local.ports.sentinels[0]}?",
      join("&", [for port in slice(local.ports.sentinels, 1, 3) : "addr=127.0.0.1:${port}"]),
      "&master_name=shard-${s + 1}&username=tierd",
    ])
  }
}

resource "terraform_data" "sentinel" {
  for_each = { for i, port in local.ports.sentinels : tostring(i + 1) => tostring(port) }

  triggers_replace = [local.boot]
  input = {
    directory = local.directory
    scripts   = local.deployed
    number    = each.key
    port      = each.value
  }
  depends_on = [terraform_data.programs]

  provisioner "local-exec" {
    command     = "${self.input.scripts}/sentinel.sh start"
    environment = { DIRECTORY = self.input.directory, NUMBER = self.input.number, PORT = self.input.port }
  }

  provisioner "local-exec" {
    when        = destroy
    command     = "${self.input.scripts}/sentinel.sh stop"
    environment = { DIRECTORY = self.input.directory, NUMBER = self.input.number, PORT = self.input.port }
  }
}

resource "terraform_data" "redis" {
  for_each = local.members

  triggers_replace = [local.boot]
  input = merge(each.value, {
    directory = local.directory
    scripts   = local.deployed
  })
  # A server asks the Sentinels whom to follow.
  depends_on = [terraform_data.programs, terraform_data.sentinel]

  provisioner "local-exec" {
    command = "${self.input.scripts}/redis.sh start"
    environment = {
      DIRECTORY = self.input.directory, SHARD = self.input.shard, MEMBER = self.input.member,
      PORT      = self.input.port, FIRST = self.input.first
    }
  }

  provisioner "local-exec" {
    when    = destroy
    command = "${self.input.scripts}/redis.sh stop"
    environment = {
      DIRECTORY = self.input.directory, SHARD = self.input.shard, MEMBER = self.input.member,
      PORT      = self.input.port, FIRST = self.input.first
    }
  }
}

# A new limit holds at once, for servers that run and for those to come.
resource "terraform_data" "redis_memory" {
  triggers_replace = [var.redis_memory_mib, keys(local.members)]
  depends_on       = [terraform_data.redis]

  provisioner "local-exec" {
    command     = "${local.deployed}/redis.sh limit ${join(" ", [for m in local.members : m.port])}"
    environment = { DIRECTORY = local.directory, MEMORY = "${var.redis_memory_mib}mb" }
  }
}

# What the Sentinels watch: without it a primary that dies is not replaced.
resource "terraform_data" "watch" {
  for_each = local.endpoints

  input = {
    directory = local.directory
    scripts   = local.deployed
    shard     = each.key
    port      = tostring(local.ports.redis[tonumber(each.key) - 1][0])
  }
  depends_on = [terraform_data.redis, terraform_data.sentinel]

  provisioner "local-exec" {
    command     = "${self.input.scripts}/sentinel.sh watch"
    environment = { DIRECTORY = self.input.directory, SHARD = self.input.shard, PORT = self.input.port }
  }

  provisioner "local-exec" {
    when        = destroy
    command     = "${self.input.scripts}/sentinel.sh unwatch"
    environment = { DIRECTORY = self.input.directory, SHARD = self.input.shard, PORT = self.input.port }
  }
}

# An endpoint that goes is emptied first, while frontends serve and its Redis runs.
resource "terraform_data" "endpoint" {
  for_each = local.endpoints

  input = {
    directory = local.directory
    scripts   = local.deployed
    shard     = each.key
    url       = each.value
  }
  depends_on = [terraform_data.watch]

  provisioner "local-exec" {
    command     = "${self.input.scripts}/shards.sh list"
    environment = { DIRECTORY = self.input.directory, SHARD = self.input.shard, URL = self.input.url }
  }

  provisioner "local-exec" {
    when        = destroy
    command     = "${self.input.scripts}/shards.sh unlist"
    environment = { DIRECTORY = self.input.directory, SHARD = self.input.shard, URL = self.input.url }
  }
}

resource "terraform_data" "shards" {
  triggers_replace = [values(local.endpoints)]
  # Frontends undo or finish what is cut off, and so have to be there.
  depends_on = [terraform_data.endpoint, terraform_data.frontend, terraform_data.rollout]

  provisioner "local-exec" {
    command     = "${local.deployed}/shards.sh apply"
    environment = { DIRECTORY = local.directory }
  }
}
