# tierd's user: the rights of deploy/redis/users.acl on the keys of the keyspaces named. A test holds the two together.

locals {
  # Without config|get: both services forbid CONFIG, to users and in access strings. tierd warns then that it cannot read the
  # settings of persistence, and goes on.
  commands = [
    "evalsha", "eval", "script|load", "multi", "exec", "wait", "info", "client|setname", "select", "cluster|slots", "command", "time",
    "exists", "del", "unlink", "set", "setnx", "getex", "pexpireat",
    "hget", "hgetall", "hmget", "hscan", "hset", "hsetnx", "hdel", "hexists", "hincrby", "hkeys", "hlen", "hstrlen",
    "sadd", "srem", "smembers", "smismember",
    "zadd", "zrem", "zcard", "zrange", "zrangebylex", "zrangebyscore", "zrevrangebylex", "zrevrangebyscore", "zlexcount",
    "zremrangebylex", "zremrangebyscore",
    "xadd", "xtrim", "xrange", "xread", "xrevrange",
  ]
  # In the order in which the services give it back, so that a plan shows no change where there is none.
  access_string = join(" ", concat(
    ["on"],
    [for keyspace in var.keyspaces : "~{${keyspace}${endswith(keyspace, "*") ? "" : ":*"}"],
    ["resetchannels", "-@all"],
    [for command in local.commands : "+${command}"],
  ))
}

resource "aws_memorydb_user" "this" {
  count = local.memorydb ? 1 : 0

  user_name     = local.user_name
  access_string = local.access_string

  authentication_mode {
    type      = "password"
    passwords = local.passwords
  }

  tags = var.tags
}

# The list does not have the user default: nobody comes in without a name.
resource "aws_memorydb_acl" "this" {
  count = local.memorydb ? 1 : 0

  name       = "${var.name}-hot-tier"
  user_names = [aws_memorydb_user.this[0].user_name]

  tags = var.tags
}

resource "aws_elasticache_user" "this" {
  count = local.memorydb ? 0 : 1

  user_id       = local.user_name
  user_name     = local.user_name
  engine        = "valkey"
  access_string = local.access_string

  authentication_mode {
    type      = "password"
    passwords = local.passwords
  }

  tags = var.tags
}

# A group takes the place of the service's own default user, who may do everything, by one who is off and may do nothing. (It has to
# have a password; this one opens nothing.)
resource "aws_elasticache_user" "default" {
  count = local.memorydb ? 0 : 1

  user_id       = "${local.user_name}-off"
  user_name     = "default"
  engine        = "valkey"
  access_string = "off resetchannels -@all"

  authentication_mode {
    type      = "password"
    passwords = local.passwords
  }

  tags = var.tags
}

resource "aws_elasticache_user_group" "this" {
  count = local.memorydb ? 0 : 1

  user_group_id = "${var.name}-hot-tier"
  engine        = "valkey"
  user_ids      = [aws_elasticache_user.default[0].user_id, aws_elasticache_user.this[0].user_id]

  tags = var.tags
}
