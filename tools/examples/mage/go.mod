module example.com/motto

go 1.26.0
