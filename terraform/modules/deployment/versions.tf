terraform {
  required_version = ">= 1.11"

  required_providers {
    # The modules below use it; what is not named here cannot be passed on to them.
    # tflint-ignore: terraform_unused_required_providers
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.20"
    }
  }
}
