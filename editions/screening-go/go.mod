module company-x-screening

go 1.19
