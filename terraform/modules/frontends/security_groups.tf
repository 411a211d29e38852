resource "aws_security_group" "load_balancer" {
  name        = "${var.name}-load-balancer"
  description = "Load balancer of ${var.name}: clients in, frontends out"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-load-balancer" })
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = toset(var.client_cidrs)

  security_group_id = aws_security_group.load_balancer.id
  description       = "Clients from ${each.value}"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = local.client_port
  to_port           = local.client_port
  tags              = var.tags
}

resource "aws_vpc_security_group_egress_rule" "load_balancer" {
  for_each = { clients = local.client_port, health = local.health_port }

  security_group_id            = aws_security_group.load_balancer.id
  description                  = "To the frontends: ${each.key}"
  referenced_security_group_id = aws_security_group.frontends.id
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
  tags                         = var.tags
}

resource "aws_security_group" "frontends" {
  name        = "${var.name}-frontends"
  description = "Frontends of ${var.name}: the load balancer in, hot tier and AWS services out"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-frontends" })
}

resource "aws_vpc_security_group_ingress_rule" "frontends" {
  for_each = { clients = local.client_port, health = local.health_port }

  security_group_id            = aws_security_group.frontends.id
  description                  = "From the load balancer: ${each.key}"
  referenced_security_group_id = aws_security_group.load_balancer.id
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
  tags                         = var.tags
}

resource "aws_vpc_security_group_egress_rule" "vpc" {
  for_each = { "the hot tier" = var.hot_tier_port, "endpoints of AWS services" = 443 }

  security_group_id = aws_security_group.frontends.id
  description       = "To ${each.key}"
  cidr_ipv4         = var.vpc_cidr
  ip_protocol       = "tcp"
  from_port         = each.value
  to_port           = each.value
  tags              = var.tags
}

resource "aws_vpc_security_group_egress_rule" "s3" {
  security_group_id = aws_security_group.frontends.id
  description       = "To S3 by its gateway endpoint"
  prefix_list_id    = var.s3_prefix_list_id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = var.tags
}
