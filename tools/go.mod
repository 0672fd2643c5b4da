module github.com/vpcchain/vpcchain/tools

go 1.26
