module kratos-signup/bench

go 1.24.0
