resource "aws_lb" "this" {
  name               = "${var.name}-clients"
  load_balancer_type = "network"
  internal           = var.internal
  subnets            = length(var.load_balancer_subnet_ids) > 0 ? var.load_balancer_subnet_ids : var.subnet_ids
  security_groups    = [aws_security_group.load_balancer.id]
  ip_address_type    = "ipv4"
  tags               = var.tags

  enable_cross_zone_load_balancing                             = true
  enable_deletion_protection                                   = var.deletion_protection
  enforce_security_group_inbound_rules_on_private_link_traffic = "on"
}

# TCP: mutual TLS ends in tierd, which knows its clients by their certificates.
resource "aws_lb_listener" "clients" {
  load_balancer_arn        = aws_lb.this.arn
  protocol                 = "TCP"
  port                     = local.client_port
  tcp_idle_timeout_seconds = var.idle_seconds
  tags                     = var.tags

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.clients.arn
  }
}

resource "aws_lb_target_group" "clients" {
  name        = "${var.name}-clients"
  vpc_id      = var.vpc_id
  protocol    = "TCP"
  port        = local.client_port
  target_type = "ip"
  tags        = var.tags

  deregistration_delay              = tostring(var.deregistration_seconds)
  preserve_client_ip                = tostring(var.preserve_client_ip)
  load_balancing_cross_zone_enabled = "true"
  # tierd ends its connections itself, so that clients resume elsewhere without an error.
  connection_termination = false

  # A frontend that is not ready for a moment, as while a shard fails over, keeps its connections and its
  # place: ten failures are 100 seconds. One that ends is taken out by ECS at once.
  health_check {
    enabled             = true
    protocol            = "HTTP"
    port                = tostring(local.health_port)
    path                = "/readyz?${local.health_query}"
    matcher             = "200"
    interval            = 10
    timeout             = 6
    healthy_threshold   = 2
    unhealthy_threshold = 10
  }

  target_health_state {
    enable_unhealthy_connection_termination = false
  }
}

resource "aws_route53_record" "endpoint" {
  count = var.dns_zone_id == null ? 0 : 1

  zone_id = var.dns_zone_id
  name    = var.endpoint_name
  type    = "A"

  alias {
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
    evaluate_target_health = false
  }
}
