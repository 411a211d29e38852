resource "aws_acmpca_certificate_authority" "root" {
  count = local.self_managed ? 0 : 1

  type                            = "ROOT"
  usage_mode                      = "GENERAL_PURPOSE"
  key_storage_security_standard   = "FIPS_140_2_LEVEL_3_OR_HIGHER"
  permanent_deletion_time_in_days = 30
  tags                            = var.tags

  certificate_authority_configuration {
    key_algorithm     = "EC_prime256v1"
    signing_algorithm = "SHA256WITHECDSA"

    subject {
      common_name = "${var.name} authority"
    }
  }
}

resource "aws_acmpca_certificate" "root" {
  count = local.self_managed ? 0 : 1

  certificate_authority_arn   = aws_acmpca_certificate_authority.root[0].arn
  certificate_signing_request = aws_acmpca_certificate_authority.root[0].certificate_signing_request
  signing_algorithm           = "SHA256WITHECDSA"
  template_arn                = "arn:${local.partition}:acm-pca:::template/RootCACertificate/V1"

  validity {
    type  = "YEARS"
    value = tostring(var.authority_validity_years)
  }
}

resource "aws_acmpca_certificate_authority_certificate" "root" {
  count = local.self_managed ? 0 : 1

  certificate_authority_arn = aws_acmpca_certificate_authority.root[0].arn
  certificate               = aws_acmpca_certificate.root[0].certificate
  certificate_chain         = aws_acmpca_certificate.root[0].certificate_chain
}
